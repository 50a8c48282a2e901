/** A connection to a server: one exchange at a time, kept between them. Parses responses in place; who asked gets byte ranges. */
import type { TcpSeries } from "../metrics/series.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { Body } from "./body.ts";
import { Head } from "./head.ts";
import { COMPLETE, INCOMPLETE, parseResponseHead } from "./parse-head.ts";
import type { ResponseSink, Upstream } from "./upstream.ts";

/** Where connections go between exchanges. */
export interface UpstreamHome {
  giveBack(upstream: UpstreamConnection): void;
  forget(upstream: UpstreamConnection): void;
  readonly tcp: TcpSeries;
}

/** Parsing and use are one synchronous step: one for all. */
const head = new Head();

export class UpstreamConnection implements Upstream, StreamOwner {
  stream: ByteStream | undefined;
  /** Index among the idle; -1 while in use. */
  slot = -1;
  /** Monotonic milliseconds since when it is idle. */
  idleSince = 0;
  /** Which of its pool's generations it was made in. */
  readonly generation: number;
  readonly #home: UpstreamHome;
  readonly #body = new Body();
  #sink: ResponseSink | undefined;
  #stash: Buffer | undefined;
  #inBody = false;
  /** The server ends the connection after this response, or it is no more in step. */
  #last = false;
  #closed = false;
  #paused = false;

  constructor(home: UpstreamHome, generation: number) {
    this.#home = home;
    this.generation = generation;
  }

  get closed(): boolean {
    return this.#closed;
  }

  begin(sink: ResponseSink): void {
    this.#sink = sink;
    this.#inBody = false;
    this.#last = false;
  }

  request(bytes: Buffer, from: number, to: number): boolean {
    return this.write(bytes, from, to);
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    this.#home.tcp.wrote(end - start);
    return this.stream?.write(bytes, start, end) ?? true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.stream?.resume();
  }

  release(reusable: boolean): void {
    this.#sink = undefined;
    if (this.#closed) return;
    if (!reusable || this.#last) {
      this.close();
      return;
    }
    this.resume();
    this.#home.giveBack(this);
  }

  close(): void {
    this.#sink = undefined;
    this.stream?.close();
  }

  /** The stream goes on as something else; this connection is over. */
  detach(): ByteStream {
    this.#sink = undefined;
    this.#closed = true;
    this.#home.forget(this);
    return this.stream as ByteStream;
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.#home.tcp.read(end - start);
    const sink = this.#sink;
    if (sink === undefined) {
      // Nobody asked: whatever it says, the next answer would not be the right one.
      this.close();
      return;
    }
    if (this.#stash !== undefined) {
      buffer = Buffer.concat([this.#stash, buffer.subarray(start, end)]);
      this.#stash = undefined;
      start = 0;
      end = buffer.length;
    }
    if (this.#inBody) this.#continueBody(sink, buffer, start, end);
    else this.#readHead(sink, buffer, start, end);
  }

  #readHead(sink: ResponseSink, buffer: Buffer, start: number, end: number): void {
    while (start < end) {
      const result = parseResponseHead(buffer, start, end, sink.method, head);
      if (result === INCOMPLETE) {
        this.#stash = Buffer.from(buffer.subarray(start, end));
        return;
      }
      if (result !== COMPLETE) {
        this.#break("malformed", "");
        return;
      }
      if (head.status >= 200 || head.status === 101) break;
      sink.onInterim(buffer, start, head);
      if (this.#sink !== sink) return;
      start = head.end;
    }
    if (start >= end) return;
    this.#startBody(sink, buffer, start, end);
  }

  #startBody(sink: ResponseSink, buffer: Buffer, start: number, end: number): void {
    const body = this.#body;
    body.begin(head);
    const headEnd = head.end;
    if (head.close) this.#last = true;
    if (body.kind === "tunnel") {
      if (!sink.onHead(buffer, start, headEnd, head)) this.#pause();
      if (this.#sink === sink) sink.onTunnel(buffer, headEnd, end);
      return;
    }
    const bodyEnd = body.advance(buffer, headEnd, end);
    if (body.malformed) {
      this.#break("malformed", "");
      return;
    }
    this.#inBody = true;
    if (!sink.onHead(buffer, start, bodyEnd, head)) this.#pause();
    if (this.#sink !== sink) return;
    if (body.done) this.#complete(sink, bodyEnd, end);
  }

  #continueBody(sink: ResponseSink, buffer: Buffer, start: number, end: number): void {
    const body = this.#body;
    const bodyEnd = body.advance(buffer, start, end);
    if (!sink.onBody(buffer, start, bodyEnd)) this.#pause();
    if (this.#sink !== sink) return;
    if (body.malformed) this.#break("malformed", "");
    else if (body.done) this.#complete(sink, bodyEnd, end);
  }

  #complete(sink: ResponseSink, at: number, end: number): void {
    this.#inBody = false;
    // More than was asked for: not to be trusted with another request.
    if (at < end) this.#last = true;
    sink.onComplete();
  }

  #pause(): void {
    if (this.#paused || this.#closed) return;
    this.#paused = true;
    this.stream?.pause();
  }

  onDrain(): void {
    this.#sink?.onUpstreamDrain();
  }

  onEnd(): void {
    const sink = this.#sink;
    if (sink === undefined) {
      this.close();
      return;
    }
    if (this.#inBody && this.#body.kind === "close") {
      this.#last = true;
      this.#inBody = false;
      sink.onComplete();
      return;
    }
    this.#break("closed", "");
  }

  #break(reason: "closed" | "malformed", errno: string): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.stream?.close();
    sink?.onBroken(reason, errno);
  }

  onClose(errno: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#home.forget(this);
    this.#home.tcp.closed(errno);
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onBroken("closed", errno);
  }
}
