/** One connection of a channel: HTTP/2 on a transport, one write a turn of the event loop, and signs of life. */
import { ClientConnection } from "../http2/client-connection.ts";
import { Http2Error } from "../http2/protocol.ts";
import { INITIAL_SETTINGS } from "../http2/settings.ts";
import type { Dial, Transport } from "./transport.ts";

export interface ChannelConnectionOptions {
  readonly dial: Dial;
  readonly connectWithinMs: number;
  /** After so long a silence on open streams the server is asked for a sign of life. */
  readonly aliveEveryMs: number;
  /** The server has so long to give it. */
  readonly aliveWithinMs: number;
  /** A connection without streams is closed after it. */
  readonly idleMs: number;
}

export interface ChannelConnectionEvents {
  /** Requests can be sent: connected, or a stream has become free. */
  onReady(): void;
  /** It takes no new requests, but goes on with those it has. */
  onDraining(): void;
  /** Once, with all its streams ended. */
  onClose(error: Error): void;
}

const MAX_HEADER_LIST_BYTES = 32 * 1024;
const CONNECTION_WINDOW = 1024 * 1024;

export class ChannelConnection {
  readonly http2: ClientConnection;
  readonly #options: ChannelConnectionOptions;
  readonly #events: ChannelConnectionEvents;
  readonly #transport: Transport;
  #connected = false;
  #writable = false;
  #draining = false;
  #closed = false;
  #flushing: NodeJS.Immediate | undefined;
  /** Whichever of the connection's three limits runs: connecting, life, idleness. */
  #timer: NodeJS.Timeout | undefined;
  #heardAt = 0;

  constructor(options: ChannelConnectionOptions, events: ChannelConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.http2 = new ClientConnection({
      settings: { ...INITIAL_SETTINGS, maxHeaderListBytes: MAX_HEADER_LIST_BYTES },
      connectionWindow: CONNECTION_WINDOW,
      maxHeaderBlockBytes: MAX_HEADER_LIST_BYTES,
      events: {
        onOutput: () => this.#schedule(),
        onGoAway: () => this.#drain(),
        onPingAck: () => undefined,
        onIdle: () => this.#idle(),
        onSettings: () => this.#ready(),
        onClose: (error) => this.#over(error ?? new Error("closed")),
      },
    });
    this.#timer = setTimeout(
      () => this.close(new Error(`no connection within ${options.connectWithinMs} ms`)),
      options.connectWithinMs,
    );
    this.#transport = options.dial({
      onConnect: () => this.#connect(),
      onData: (bytes, start, end) => {
        this.#heardAt = performance.now();
        this.http2.receive(bytes, start, end);
      },
      onDrain: () => {
        this.#writable = true;
        this.#flush();
      },
      onClose: (error) => this.http2.close(error),
    });
  }

  /** Whether it ever was. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Whether a call can be started on it now. */
  get ready(): boolean {
    return this.#connected && this.http2.ready;
  }

  /** A stream was opened: its server has to show signs of life. */
  watchLife(): void {
    if (this.http2.openStreams > 1) return;
    this.#heardAt = performance.now();
    this.#expectLife(this.#options.aliveEveryMs);
  }

  /** Ends it with all its streams. */
  close(error: Error): void {
    this.http2.close(error);
  }

  #connect(): void {
    this.#connected = true;
    this.#writable = true;
    this.#idle();
    this.#ready();
    this.#flush();
  }

  #ready(): void {
    if (this.ready && !this.#draining) this.#events.onReady();
  }

  #drain(): void {
    if (!this.#draining) this.#events.onDraining();
    this.#draining = true;
    if (this.http2.openStreams === 0) this.#idle();
  }

  #idle(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const idleMs = this.#draining ? 0 : this.#options.idleMs;
    this.#timer = setTimeout(() => this.http2.close(new Error("nobody uses the connection")), idleMs);
  }

  #expectLife(withinMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const silentMs = performance.now() - this.#heardAt;
      const { aliveEveryMs, aliveWithinMs } = this.#options;
      if (silentMs < aliveEveryMs) this.#expectLife(aliveEveryMs - silentMs);
      else this.#askForLife(aliveWithinMs);
    }, withinMs);
  }

  #askForLife(withinMs: number): void {
    const askedAt = performance.now();
    this.http2.ping();
    this.#timer = setTimeout(() => {
      if (this.#heardAt >= askedAt) this.#expectLife(this.#options.aliveEveryMs);
      else this.http2.close(new Error(`no sign of life within ${withinMs} ms`));
    }, withinMs);
  }

  #schedule(): void {
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#writable) return;
    this.http2.flush((bytes, start, end) => {
      this.#writable = this.#transport.write(bytes, start, end) && this.#writable;
    });
  }

  #over(error: Error): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#flushing);
    // A GOAWAY says why; else calls may wait that were told to be unsent.
    if (error instanceof Http2Error) this.#flush();
    this.#transport.close();
    this.#events.onClose(error);
  }
}
