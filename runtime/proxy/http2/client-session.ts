/** One HTTP/2 connection to a server: RFC 9113's client on a stream of bytes, with a place among the connections of its pool. */
import type { HeaderField } from "../../wire/hpack/field.ts";
import { ClientConnection } from "../../wire/http2/client-connection.ts";
import { Http2Error } from "../../wire/http2/protocol.ts";
import { INITIAL_SETTINGS } from "../../wire/http2/settings.ts";
import type { Http2Stream, StreamHandler } from "../../wire/http2/stream.ts";
import type { TcpSeries } from "../metrics/series.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { type Flushable, flushThisTurn } from "./flushes.ts";
import { DEFAULT_LIFE, heard, keepAlive, type Life, type Living, letGo } from "./keep-alive.ts";
import { DEFAULT_WINDOWS, type Http2ClientParams, MAX_HEADER_BYTES, MAX_STORED_BYTES } from "./limits.ts";
import type { Http2Client } from "./upstreams.ts";

export interface ClientSessionEvents {
  /** A request finds room again: a stream ended, or the server allows more. */
  onRoom(session: ClientSession): void;
  /** The server has said how many requests it takes, and they are here. */
  onFull(session: ClientSession): void;
  /** It takes no new requests; those under way go on. */
  onDraining(session: ClientSession): void;
  /** Its last stream has ended. */
  onIdle(session: ClientSession): void;
  /** Once. */
  onClosed(session: ClientSession): void;
  readonly tcp: TcpSeries;
}

/** What a server takes at once before it has said how much: RFC 9113, 6.5.2 asks servers for no less. */
const STREAMS_BEFORE_SETTINGS = 100;

export class ClientSession implements Http2Client, StreamOwner, Flushable, Living {
  readonly #http2: ClientConnection;
  readonly #events: ClientSessionEvents;
  #stream: ByteStream | undefined;
  #draining = false;
  #closed = false;
  #writable = true;
  #settled = false;
  silentTicks = 0;
  /** PINGs of the other end in the read under way. */
  #asked = 0;
  readonly life: Life;
  /** Monotonic milliseconds since when it has no streams. */
  idleSince = 0;

  constructor(events: ClientSessionEvents, { windows = DEFAULT_WINDOWS, life = DEFAULT_LIFE }: Http2ClientParams = {}) {
    this.life = life;
    this.#events = events;
    this.#http2 = new ClientConnection({
      settings: { ...INITIAL_SETTINGS, initialWindow: windows.stream, maxHeaderListBytes: MAX_HEADER_BYTES },
      connectionWindow: windows.connection,
      maxStoredBytes: MAX_STORED_BYTES,
      maxHeaderBlockBytes: MAX_HEADER_BYTES,
      events: {
        onOutput: () => flushThisTurn(this),
        onGoAway: () => this.retire(),
        onPingAck: () => undefined,
        onPing: () => this.#asked++,
        onIdle: () => this.#onIdle(),
        onSettings: () => {
          this.#settled = true;
          if (this.ready) events.onRoom(this);
          else events.onFull(this);
        },
        onClose: (error) => this.#over(error),
      },
    });
  }

  /** Begins on a stream that is connected. */
  start(stream: ByteStream): void {
    // What came with the last of the handshake may have ended it.
    if (this.#closed) {
      stream.close();
      return;
    }
    this.#stream = stream;
    this.#events.tcp.opened();
    this.idleSince = performance.now();
    keepAlive(this);
    this.flush();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether {@link request} opens a stream now. */
  get ready(): boolean {
    if (this.#stream === undefined || this.#draining || !this.#http2.ready || this.#http2.heldUp) return false;
    return this.#settled || this.openStreams < STREAMS_BEFORE_SETTINGS;
  }

  /** Whether the server has said how many requests it takes at once. */
  get settled(): boolean {
    return this.#settled;
  }

  get openStreams(): number {
    return this.#http2.openStreams;
  }

  request(fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler): Http2Stream | undefined {
    return this.ready ? this.#http2.request(fields, endStream, handler) : undefined;
  }

  /** No new requests; closes after the last one. */
  retire(): void {
    this.#drain();
    if (this.openStreams === 0) this.close();
  }

  close(error?: Error): void {
    this.#http2.close(error);
  }

  flush(): void {
    const stream = this.#stream;
    if (stream === undefined || !this.#writable) return;
    this.#http2.flush((bytes, start, end) => {
      this.#events.tcp.wrote(end - start);
      if (!stream.write(bytes, start, end)) this.#writable = false;
    });
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.#events.tcp.read(end - start);
    this.#asked = 0;
    this.#http2.receive(buffer, start, end);
    heard(this, end - start, this.#asked);
  }

  onTick(): void {
    this.#http2.shedStalled();
  }

  ping(): void {
    this.#http2.ping();
  }

  die(): void {
    this.#http2.close(new Error("no sign of life"));
  }

  onEnd(): void {
    this.#http2.close(new Error("the server closed the connection"));
  }

  onDrain(): void {
    this.#writable = true;
    this.flush();
  }

  onClose(errno: string): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined) this.#events.tcp.closed(errno);
    this.#http2.close(new Error(errno === "" ? "the connection was closed" : errno));
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#events.onDraining(this);
  }

  #onIdle(): void {
    this.idleSince = performance.now();
    if (this.#draining) this.close();
    else {
      this.#onRoom();
      this.#events.onIdle(this);
    }
  }

  #onRoom(): void {
    if (this.ready) this.#events.onRoom(this);
  }

  #over(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    letGo(this);
    // A GOAWAY says why; else requests may wait that were told to be unsent.
    this.#writable = error instanceof Http2Error;
    this.flush();
    this.#draining = true;
    this.#stream?.close();
    this.#events.onClosed(this);
  }
}
