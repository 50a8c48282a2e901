/** A client's HTTP/2 connection: RFC 9113's server on a stream of bytes. What the two sides of the proxy differ in is their {@link HttpService}. */
import type { HeaderField } from "../../wire/hpack/field.ts";
import { internField } from "../../wire/hpack/intern.ts";
import { ServerConnection } from "../../wire/http2/server-connection.ts";
import { INITIAL_SETTINGS } from "../../wire/http2/settings.ts";
import type { HttpService } from "../http/service.ts";
import { HEAD_TIMEOUT_MS } from "../http1/downstream.ts";
import { Farewell } from "../http1/farewell.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { type Flushable, flushThisTurn } from "./flushes.ts";
import { heard, keepAlive, type Life, type Living, letGo, TICK_MS } from "./keep-alive.ts";
import { type Http2Limits, MAX_STORED_BYTES, MAX_WAITING_BYTES, SERVER_LIMITS } from "./limits.ts";
import { StreamExchange } from "./stream-exchange.ts";

/** How long the answer to a sign of life may take before the connection's end is told without it, and requests to come behind their client's GOAWAY. */
const GOODBYE_MS = 1_000;

export class ServerSession implements StreamOwner, Flushable, Living {
  readonly service: HttpService;
  /** Added to every request. */
  readonly #requestFields: readonly HeaderField[];
  readonly #stream: ByteStream;
  readonly #http2: ServerConnection;
  readonly #farewell: Farewell;
  #writable = true;
  #closed = false;
  /** Nothing is read of it until it has fetched what waits for it. */
  #paused = false;
  /** Says that no request is wanted, and waits for those that are on their way. */
  #leaving: "no" | "announced" | "final" | "gone" = "no";
  #goodbye: NodeJS.Timeout | undefined;
  #pings = 0;
  silentTicks = 0;
  /** PINGs of the other end in the read under way. */
  #asked = 0;
  readonly life: Life;
  readonly #headTimeoutMs: number;
  /** The head that was under way at the last tick, and for how many ticks it has been. */
  #slowHead = 0;
  #slowTicks = 0;

  /** @param headTimeoutMs as of HTTP/1's Downstream, in whole ticks */
  constructor(
    stream: ByteStream,
    service: HttpService,
    limits: Http2Limits = SERVER_LIMITS,
    headTimeoutMs: number = HEAD_TIMEOUT_MS,
  ) {
    const { windows, maxStreams, maxFrameBytes, maxHeaderBytes } = limits;
    this.life = limits.life;
    this.#headTimeoutMs = headTimeoutMs;
    this.service = service;
    this.#requestFields = fieldsOf(service.requestLines);
    this.#stream = stream;
    this.#farewell = new Farewell(stream);
    this.#http2 = new ServerConnection({
      settings: {
        ...INITIAL_SETTINGS,
        maxConcurrentStreams: maxStreams,
        initialWindow: windows.stream,
        maxFrameBytes,
        maxHeaderListBytes: maxHeaderBytes,
      },
      connectionWindow: windows.connection,
      maxStoredBytes: MAX_STORED_BYTES,
      maxHeaderBlockBytes: maxHeaderBytes,
      events: {
        onOutput: () => flushThisTurn(this),
        onGoAway: () => this.#onPeerLeaves(),
        onPingAck: () => this.#onPingAck(),
        onPing: () => this.#asked++,
        onIdle: () => this.#onIdle(),
        onSettings: () => undefined,
        onClose: () => this.#onOver(),
      },
      onRequest: (client, fields, endStream) => {
        const exchange = new StreamExchange(service, client);
        // It may be answered, and ended, before this returns.
        client.handler = exchange;
        exchange.begin(fields, endStream, this.#requestFields);
        return exchange;
      },
    });
    stream.owner = this;
    keepAlive(this);
    this.flush();
  }

  /** Whether a proxy of the mesh is the client. */
  get meshed(): boolean {
    return this.service.audience.meshed;
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.service.tcp.read(end - start);
    this.#asked = 0;
    this.#http2.receive(buffer, start, end);
    heard(this, end - start, this.#asked);
    if (!this.#writable && !this.#paused && this.#http2.waiting > MAX_WAITING_BYTES) {
      this.#paused = true;
      this.#stream.pause();
    }
  }

  onEnd(): void {
    this.#http2.close(new Error("the client closed the connection"));
  }

  onDrain(): void {
    this.#writable = true;
    this.flush();
    if (!this.#paused) return;
    this.#paused = false;
    this.#stream.resume();
  }

  onClose(errno: string): void {
    if (this.#closed) return;
    this.#closed = true;
    letGo(this);
    clearTimeout(this.#goodbye);
    this.#farewell.cancel();
    this.service.tcp.closed(errno);
    this.#http2.close(new Error(errno === "" ? "the connection was closed" : errno));
    this.service.closed();
  }

  flush(): void {
    if (!this.#writable || this.#closed) return;
    this.#http2.flush((bytes, start, end) => {
      this.service.tcp.wrote(end - start);
      if (!this.#stream.write(bytes, start, end)) this.#writable = false;
    });
  }

  onTick(): void {
    this.#http2.shedStalled();
    this.#watchHead();
  }

  /** Whoever sends a byte of a head now and then would stay for ever (slow loris). */
  #watchHead(): void {
    const head = this.#http2.unfinished;
    if (head === 0 || head !== this.#slowHead) {
      this.#slowHead = head;
      this.#slowTicks = 0;
    } else if (++this.#slowTicks * TICK_MS >= this.#headTimeoutMs && this.#headTimeoutMs > 0) {
      this.#http2.giveUp("a head that does not end");
    }
  }

  ping(): void {
    this.#pings++;
    this.#http2.ping();
  }

  die(): void {
    this.#http2.close(new Error("no sign of life"));
    // Nobody is there to take a farewell.
    this.#stream.close();
  }

  #onPingAck(): void {
    if (this.#pings > 0) this.#pings--;
    if (this.#leaving === "announced" && this.#pings === 0) this.#leave();
  }

  /** No further requests but those that are on their way: GOAWAY tells every client alike. */
  drain(_lastMayCome?: boolean): void {
    if (this.#leaving !== "no" || this.#http2.closed) return;
    this.#leaving = "announced";
    clearTimeout(this.#goodbye);
    this.#http2.announceGoAway("the proxy ends");
    this.ping();
    this.#goodbye = setTimeout(() => this.#leave(), GOODBYE_MS);
  }

  #leave(): void {
    if (this.#leaving !== "announced") return;
    clearTimeout(this.#goodbye);
    this.#leaving = "final";
    this.#http2.goAway("the proxy ends");
    if (this.#http2.openStreams === 0) this.#onIdle();
  }

  /** That speaks of our streams, and of its own says nothing (6.8): nghttp2's GOAWAY overtakes the heads that wait. The client closes when it has its answers. */
  #onPeerLeaves(): void {
    if (this.#leaving === "no") this.#goodbye ??= setTimeout(() => this.#onPeerGone(), GOODBYE_MS);
    else if (this.#http2.openStreams === 0) this.#onIdle();
  }

  #onPeerGone(): void {
    this.#leaving = "final";
    if (this.#http2.openStreams === 0) this.#onIdle();
  }

  #onIdle(): void {
    if (this.#leaving !== "final" || this.#http2.closed) return;
    this.#leaving = "gone";
    this.#http2.close();
  }

  /** HTTP/2 is over: what waits is written, then the connection ends. */
  #onOver(): void {
    if (this.#closed) return;
    letGo(this);
    clearTimeout(this.#goodbye);
    this.#writable = true;
    this.flush();
    this.#farewell.begin();
  }

  close(): void {
    this.#stream.close();
  }
}

/** Lines with their CRLF as fields. */
function fieldsOf(lines: Buffer): HeaderField[] {
  return lines
    .toString("latin1")
    .split("\r\n")
    .filter((line) => line !== "")
    .map((line) => {
      const colon = line.indexOf(":");
      return internField(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    });
}
