/**
 * HTTP/1 exchanges with a proxy of the mesh, each a stream of a connection that many share (reference 5.7): bodies without their
 * chunks, heads as fields. What the client's connection sees is {@link Upstream}, as of a connection of its own.
 */
import type { HeaderField } from "../../wire/hpack/field.ts";
import { errorCode } from "../../wire/http2/protocol.ts";
import type { Http2Stream, StreamHandler, StreamReset } from "../../wire/http2/stream.ts";
import type { Http1Upstreams } from "../http/service.ts";
import { Head } from "../http1/head.ts";
import type { ResponseSink, Upstream } from "../http1/upstream.ts";
import type { TcpSeries } from "../metrics/series.ts";
import type { ByteStream } from "../transport/stream.ts";
import type { ClientSession } from "./client-session.ts";
import { type Flushable, flushThisTurn } from "./flushes.ts";
import { Half } from "./half.ts";
import { requestFields, trailerFields } from "./http1-fields.ts";
import { parseResponseText, type ResponseText, responseText, trailerText } from "./http1-text.ts";
import { Payload, type PayloadSink } from "./payload.ts";
import type { Http2Pool } from "./pool.ts";

const NONE = Buffer.alloc(0);
const SWITCHING_PROTOCOLS = 101;
/** A head and the DATA frame after it are told as one: its room. */
const TOLD_BYTES = 32_768;
const MAX_KEPT_STREAMS = 256;

/** Telling is one synchronous step: one for all. */
const told = Buffer.allocUnsafeSlow(TOLD_BYTES);
const scratch = new Head();

/** HTTP/1 messages over the connections of `pool`, which a proxy of the mesh is the other end of. */
export class Http1OverHttp2 implements Http1Upstreams {
  readonly #pool: Http2Pool;
  /** Between exchanges. */
  readonly #free: Http1Stream[] = [];

  constructor(pool: Http2Pool) {
    this.#pool = pool;
  }

  get tcp(): TcpSeries {
    return this.#pool.tcp;
  }

  take(): Upstream | undefined {
    const client = this.#pool.take();
    return client === undefined ? undefined : this.#stream(client);
  }

  async connect(): Promise<Upstream> {
    for (;;) {
      const client = this.#pool.take() ?? (await this.#pool.connect());
      // Others may have been faster.
      if (client.ready) return this.#stream(client);
    }
  }

  #stream(client: ClientSession): Http1Stream {
    const stream = this.#free.pop() ?? new Http1Stream((free) => this.#giveBack(free));
    stream.client = client;
    return stream;
  }

  #giveBack(stream: Http1Stream): void {
    if (this.#free.length < MAX_KEPT_STREAMS) this.#free.push(stream);
  }
}

class Http1Stream implements Upstream, StreamHandler, PayloadSink, Flushable {
  client: ClientSession | undefined;
  readonly #giveBack: (stream: Http1Stream) => void;
  #stream: Http2Stream | undefined;
  #sink: ResponseSink | undefined;
  /** Of the request's body. */
  readonly #payload = new Payload();
  /** What of the request's body the server did not take at once. */
  #waiting: Half | undefined;
  #waitingBytes = 0;
  /** The client speaks HTTP/1.0. */
  #oldClient = false;
  #method = "";
  /** The response's head, until the first of its body comes, or this turn ends: both make one write then. */
  #head: ResponseText | undefined;
  #bodiless = false;
  /** Of the response's body: not credited while the client does not keep up. */
  #uncredited = 0;
  #paused = false;

  constructor(giveBack: (stream: Http1Stream) => void) {
    this.#giveBack = giveBack;
  }

  // The client.

  begin(sink: ResponseSink): void {
    this.#sink = sink;
  }

  request(bytes: Buffer, from: number, to: number, request: Head): boolean {
    const { bodyKind } = request;
    this.#method = request.method;
    this.#oldClient = request.minorVersion === 0;
    const headEnd = bodyKind === "none" ? to : bytes.indexOf("\r\n\r\n", from) + 4;
    const fields = requestFields(bytes, from, headEnd, request);
    const stream = this.client?.request(fields, bodyKind === "none", this);
    if (stream === undefined) {
      const sink = this.#sink;
      // Never within this call: who made it has not noted yet what it made.
      setImmediate(() => {
        if (this.#sink === sink) this.#break("unprocessed", "");
      });
      return true;
    }
    this.#stream = stream;
    if (bodyKind === "none") return true;
    this.#payload.begin(request);
    return this.write(bytes, headEnd, to);
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (this.#stream !== undefined && start < end) this.#payload.feed(bytes, start, end, this);
    return this.#waitingBytes === 0;
  }

  onPayload(bytes: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.#stream as Http2Stream;
    if (this.#waiting === undefined) {
      start += stream.send(bytes, start, end, last);
      if (start === end) return;
      this.#wait(stream);
    }
    this.#waitingBytes += end - start;
    this.#waiting?.data(bytes, start, end, last);
  }

  onTrailerLines(lines: Buffer): void {
    const stream = this.#stream as Http2Stream;
    const fields = trailerFields(lines, 0, lines.length);
    if (fields.length === 0) this.onPayload(NONE, 0, 0, true);
    else if (this.#waiting !== undefined) this.#waiting.trailers(fields);
    else stream.sendHeaders(fields, true);
  }

  #wait(stream: Http2Stream): void {
    this.#waiting = new Half({
      consume: (bytes) => {
        this.#waitingBytes -= bytes;
        if (this.#waitingBytes === 0) this.#sink?.onUpstreamDrain();
      },
    });
    this.#waiting.attach(stream, false);
  }

  resume(): void {
    this.#paused = false;
    const credit = this.#uncredited;
    this.#uncredited = 0;
    if (credit > 0) this.#stream?.consume(credit);
  }

  release(reusable: boolean): void {
    const stream = this.#stream;
    this.#sink = undefined;
    if (stream === undefined) {
      this.#end();
      return;
    }
    // Its answer is whole: the rest of the request is not wanted. Else both ends are through, or about to be told so.
    if (!reusable || !stream.localEnded) this.#reset(stream);
  }

  close(): void {
    const stream = this.#stream;
    this.#sink = undefined;
    if (stream !== undefined && !(stream.localEnded && stream.remoteEnded)) this.#reset(stream);
  }

  #reset(stream: Http2Stream): void {
    stream.reset(errorCode.cancel);
    this.#end();
  }

  detach(): ByteStream {
    throw new Error("a stream of a connection that others share cannot become a tunnel");
  }

  /** Ready for another exchange. */
  #end(): void {
    if (this.client === undefined) return;
    this.client = undefined;
    this.#stream = undefined;
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    this.#payload.stop();
    this.#head = undefined;
    this.#uncredited = 0;
    this.#paused = false;
    this.#giveBack(this);
  }

  // The server.

  onInformational(fields: readonly HeaderField[]): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    const text = responseText(fields, this.#method, true);
    const head = this.#parsed(text);
    if (head === undefined || head.status === SWITCHING_PROTOCOLS) this.#refuse();
    else sink.onInterim(text.bytes, 0, head);
  }

  onHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    const framed = endStream || this.#oldClient || hasLength(fields);
    this.#head = responseText(fields, this.#method, framed);
    if (endStream) this.#tell(NONE, 0, 0, true);
    else flushThisTurn(this);
  }

  #parsed({ bytes, head }: ResponseText): Head | undefined {
    return head ?? (parseResponseText(bytes, this.#method, scratch) ? scratch : undefined);
  }

  /** This turn has brought no more than the head. */
  flush(): void {
    if (this.#head !== undefined) this.#tell(NONE, 0, 0, false);
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (this.#head !== undefined) {
      this.#tell(bytes, start, end, endStream);
      return;
    }
    const sink = this.#sink;
    const stream = this.#stream;
    if (sink === undefined || stream === undefined) return;
    if (start < end) {
      if (this.#bodiless) this.#refuse();
      else this.#credit(stream, end - start, sink.onBody(bytes, start, end, endStream));
    }
    if (endStream && this.#sink === sink) sink.onComplete();
  }

  /** The head, and with it what there is of the body. */
  #tell(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const sink = this.#sink;
    const stream = this.#stream;
    const text = this.#head as ResponseText;
    this.#head = undefined;
    if (sink === undefined || stream === undefined) return;
    const head = this.#parsed(text);
    this.#bodiless = head?.bodyKind === "none";
    // Nobody expects bytes there: they would be taken for the next answer.
    if (head === undefined || (this.#bodiless && start < end)) {
      this.#refuse();
      return;
    }
    const headEnd = text.bytes.length;
    const length = headEnd + end - start;
    let all = text.bytes;
    if (start < end) {
      all = length <= TOLD_BYTES ? told : Buffer.allocUnsafe(length);
      text.bytes.copy(all, 0);
      bytes.copy(all, headEnd, start, end);
    }
    this.#credit(stream, end - start, sink.onHead(all, 0, length, head, endStream));
    if (endStream && this.#sink === sink) sink.onComplete();
  }

  #credit(stream: Http2Stream, bytes: number, flows: boolean): void {
    // It may be another exchange's by now.
    if (this.#stream !== stream) return;
    if (!flows) this.#paused = true;
    if (this.#paused) this.#uncredited += bytes;
    else if (bytes > 0) stream.consume(bytes);
  }

  onTrailers(fields: readonly HeaderField[]): void {
    if (this.#head !== undefined) this.#tell(NONE, 0, 0, false);
    this.#sink?.onComplete(Buffer.from(trailerText(fields), "latin1"));
  }

  onWritable(): void {
    this.#waiting?.writable();
  }

  onClose(reset: StreamReset | undefined): void {
    if (reset === undefined) {
      this.#stream = undefined;
      if (this.#sink === undefined) this.#end();
      return;
    }
    // What came before it counts.
    if (this.#head !== undefined) this.#tell(NONE, 0, 0, false);
    if (reset.unprocessed) this.#break("unprocessed", "");
    else this.#break("closed", reset.reason);
  }

  /** An answer that HTTP/1 cannot say. */
  #refuse(): void {
    this.#stream?.reset(errorCode.protocolError);
    this.#break("malformed", "");
  }

  #break(reason: "closed" | "malformed" | "unprocessed", errno: string): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#end();
    sink?.onBroken(reason, errno);
  }
}

function hasLength(fields: readonly HeaderField[]): boolean {
  for (let index = 0; index < fields.length; index++) if (fields[index]!.name === "content-length") return true;
  return false;
}
