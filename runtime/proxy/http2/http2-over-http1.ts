/**
 * Requests that a proxy of the mesh has carried over HTTP/2, sent to the application as the HTTP/1 messages they were (reference
 * 5.7). To those who relay HTTP/2 the application's connections are one that always has room while one of them is free.
 */
import type { HeaderField } from "../../wire/hpack/field.ts";
import { errorCode } from "../../wire/http2/protocol.ts";
import type { StreamHandler } from "../../wire/http2/stream.ts";
import type { Head } from "../http1/head.ts";
import type { UpstreamPool } from "../http1/pool.ts";
import type { ResponseSink, Upstream } from "../http1/upstream.ts";
import type { TcpSeries } from "../metrics/series.ts";
import { composeBuffer } from "../transport/handle-stream.ts";
import { type Flushable, flushThisTurn } from "./flushes.ts";
import { responseFields, trailerFields } from "./http1-fields.ts";
import { requestText, trailerText } from "./http1-text.ts";
import { Payload, type PayloadSink } from "./payload.ts";
import type { Http2Client, Http2Upstreams, UpstreamStream } from "./upstreams.ts";

/** What of a response may wait for its client before the application is held back: a stream's window. */
const MAX_UNCONSUMED = 65_536;
const NONE = Buffer.alloc(0);

export class Http2OverHttp1 implements Http2Upstreams, Http2Client {
  readonly #pool: UpstreamPool;

  constructor(pool: UpstreamPool) {
    this.#pool = pool;
  }

  get tcp(): TcpSeries {
    return this.#pool.tcp;
  }

  take(): Http2Client | undefined {
    return this.#pool.idle > 0 ? this : undefined;
  }

  async connect(): Promise<Http2Client> {
    return new FreshConnection(await this.#pool.connect());
  }

  request(fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler): UpstreamStream | undefined {
    const connection = this.#pool.take();
    return connection === undefined ? undefined : new ApplicationExchange(connection, fields, endStream, handler);
  }
}

/** A connection for whoever waited for it; who does not want it any more, in this turn, leaves it to others. */
class FreshConnection implements Http2Client {
  #connection: Upstream | undefined;

  constructor(connection: Upstream) {
    this.#connection = connection;
    setImmediate(() => {
      this.#connection?.release(true);
      this.#connection = undefined;
    });
  }

  request(fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler): UpstreamStream | undefined {
    const connection = this.#connection;
    this.#connection = undefined;
    return connection === undefined ? undefined : new ApplicationExchange(connection, fields, endStream, handler);
  }
}

class ApplicationExchange implements UpstreamStream, ResponseSink, PayloadSink, Flushable {
  readonly method: string;
  readonly #handler: StreamHandler;
  /** Until the response is whole, or the exchange is broken off. */
  #connection: Upstream | undefined;
  /** The request's head, until the first of its body comes, or this turn ends: both make one write then. */
  #head: Buffer | undefined;
  readonly #chunked: boolean;
  #requestEnded: boolean;
  /** The application does not keep up. */
  #blocked = false;
  readonly #payload = new Payload();
  /** Of the response: told, and not credited. */
  #unconsumed = 0;
  #responseEnded = false;

  constructor(connection: Upstream, fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler) {
    const { method, bytes, chunked } = requestText(fields, endStream);
    this.method = method;
    this.#head = bytes;
    this.#chunked = chunked;
    this.#requestEnded = endStream;
    this.#handler = handler;
    this.#connection = connection;
    connection.begin(this);
    if (endStream) this.flush();
    else flushThisTurn(this);
  }

  // The client.

  /** This turn has brought no more than the head. */
  flush(): void {
    if (this.#head !== undefined) this.#write(NONE, 0, 0, "", "");
  }

  send(bytes: Buffer, start: number, end: number, endStream: boolean): number {
    if (this.#blocked || this.#connection === undefined || this.#requestEnded) return 0;
    if (endStream) this.#requestEnded = true;
    let before = "";
    let after = "";
    if (this.#chunked) {
      if (start < end) {
        before = `${(end - start).toString(16)}\r\n`;
        after = "\r\n";
      }
      if (endStream) after += "0\r\n\r\n";
    }
    this.#write(bytes, start, end, before, after);
    return end - start;
  }

  /** Trailers: no other head follows a request's. */
  sendHeaders(fields: readonly HeaderField[]): void {
    if (this.#connection === undefined || this.#requestEnded) return;
    this.#requestEnded = true;
    this.#write(NONE, 0, 0, this.#chunked ? `0\r\n${trailerText(fields)}\r\n` : "", "");
  }

  /** The head, where it waits, and these. */
  #write(bytes: Buffer, start: number, end: number, before: string, after: string): void {
    const connection = this.#connection;
    const head = this.#head ?? NONE;
    this.#head = undefined;
    const length = head.length + before.length + end - start + after.length;
    if (connection === undefined || length === 0) return;
    let out = composeBuffer();
    if (length > out.length) out = Buffer.allocUnsafe(length);
    let at = head.copy(out, 0);
    if (before !== "") at += out.write(before, at, "latin1");
    if (start < end) at += bytes.copy(out, at, start, end);
    if (after !== "") at += out.write(after, at, "latin1");
    if (!connection.write(out, 0, at)) this.#blocked = true;
  }

  consume(bytes: number): void {
    this.#unconsumed -= bytes;
    if (this.#unconsumed <= MAX_UNCONSUMED) this.#connection?.resume();
  }

  reset(_code: number): void {
    this.#leave()?.close();
  }

  #leave(): Upstream | undefined {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#payload.stop();
    return connection;
  }

  // The application.

  onInterim(bytes: Buffer, start: number, head: Head): void {
    this.#handler.onInformational(responseFields(bytes, start, head));
  }

  onHead(bytes: Buffer, start: number, bodyEnd: number, head: Head): boolean {
    if (head.bodyKind === "tunnel") {
      this.#leave()?.close();
      this.#lose("it answered with what was not asked for");
      return true;
    }
    const bodiless = head.bodyKind === "none";
    const headEnd = head.end;
    this.#payload.begin(head);
    this.#responseEnded = bodiless;
    this.#handler.onHeaders(responseFields(bytes, start, head), bodiless);
    return this.onBody(bytes, headEnd, bodyEnd);
  }

  onBody(bytes: Buffer, start: number, end: number): boolean {
    if (this.#connection !== undefined && start < end) this.#payload.feed(bytes, start, end, this);
    return this.#unconsumed <= MAX_UNCONSUMED;
  }

  onPayload(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (last) this.#responseEnded = true;
    this.#unconsumed += end - start;
    this.#handler.onData(bytes, start, end, last);
  }

  onTrailerLines(lines: Buffer): void {
    this.#responseEnded = true;
    const fields = trailerFields(lines, 0, lines.length);
    if (fields.length === 0) this.#handler.onData(lines, 0, 0, true);
    else this.#handler.onTrailers(fields);
  }

  onComplete(): void {
    if (!this.#responseEnded) this.#payload.end(this);
    const connection = this.#leave();
    const whole = this.#requestEnded;
    connection?.release(whole);
    // The rest of the request is not wanted.
    this.#handler.onClose(whole ? undefined : { ...LOST, code: errorCode.noError, lost: false });
  }

  /** Not reached: `onHead` gives the connection up. */
  onTunnel(): void {
    this.#leave()?.close();
  }

  onBroken(reason: "closed" | "malformed" | "unprocessed", errno: string): void {
    this.#leave();
    this.#lose(reason === "malformed" ? "its answer is not valid HTTP/1.1" : errno || "no answer");
  }

  #lose(reason: string): void {
    this.#handler.onClose({ ...LOST, reason });
  }

  onUpstreamDrain(): void {
    this.#blocked = false;
    this.#handler.onWritable();
  }
}

const LOST = { code: errorCode.internalError, reason: "", unprocessed: false, lost: true };
