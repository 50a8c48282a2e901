/**
 * A client's HTTP/1 connection: parses requests in place, one exchange at a time, and forwards byte ranges to its server's side
 * (RFC 9112). Pipelined requests wait in line. What the two sides of the proxy differ in is their {@link HttpService}.
 */
import { Refusal } from "../http/failure.ts";
import { RequestCopy } from "../http/request-copy.ts";
import type { HeaderList } from "../http/request-head.ts";
import type { StreamError } from "../http/route-rule.ts";
import type { HttpService } from "../http/service.ts";
import type { TcpSeries } from "../metrics/series.ts";
import { Relay } from "../tcp/relay.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { Answer } from "./answer.ts";
import { Body } from "./body.ts";
import { Exchange } from "./exchange.ts";
import { Farewell } from "./farewell.ts";
import { Head } from "./head.ts";
import { COMPLETE, INCOMPLETE, parseRequestHead, TOO_LARGE } from "./parse-head.ts";
import { refusalBytes } from "./refusal-bytes.ts";
import { Http1RequestView } from "./request-view.ts";
import { type ClientSide, ServerSide } from "./server-side.ts";

type Phase =
  | "open"
  /** The last answer is sent: what the client still says is dropped. */
  | "closing"
  /** No more HTTP: closed, or relayed as bytes. */
  | "over";

/** How long a client may take for a head that it has begun, milliseconds. */
export const HEAD_TIMEOUT_MS = 30_000;

/** Of the proxy's own answers, as those who watch see them. */
const REFUSAL_FIELDS: HeaderList = [["content-length", "0"]];

/** Why a stream reads no more for now. */
const FOR_UPSTREAM = 1;
const FOR_TURN = 2;
/** It fetches no answers: it gets no more of them. */
const FOR_CLIENT = 4;

/** Parsing and use are one synchronous step: one for all. */
const head = new Head();
const view = new Http1RequestView();

export class Downstream implements StreamOwner, ClientSide {
  readonly #stream: ByteStream;
  readonly #service: HttpService;
  readonly #body = new Body();
  readonly #exchange = new Exchange();
  readonly #answer: Answer;
  readonly #server: ServerSide;
  readonly #farewell: Farewell;
  #phase: Phase = "open";
  /** What came before its turn, or is no whole head yet. */
  #stash: Buffer | undefined;
  #pausedFor = 0;
  #clientEnded = false;
  #draining = false;
  /** While draining: whether the client may still send a request, which gets its answer. */
  #lastMayCome = false;
  #relay: Relay | undefined;
  readonly #headTimeoutMs: number;
  /** Runs while a head has begun and is not complete: whoever sends a byte now and then would stay for ever (slow loris). */
  #headTimer: NodeJS.Timeout | undefined;

  /** @param headTimeoutMs 0: a client may take for ever over a head */
  constructor(stream: ByteStream, service: HttpService, headTimeoutMs: number = HEAD_TIMEOUT_MS) {
    this.#stream = stream;
    this.#headTimeoutMs = headTimeoutMs;
    this.#service = service;
    this.#answer = new Answer(stream, service.tcp);
    this.#server = new ServerSide(this, service, this.#exchange, this.#answer);
    this.#farewell = new Farewell(stream);
    stream.owner = this;
  }

  /** Whether a proxy of the mesh is the client. */
  get meshed(): boolean {
    return this.#service.audience.meshed;
  }

  // Its requests.

  onData(buffer: Buffer, start: number, end: number): void {
    this.#service.tcp.read(end - start);
    if (this.#stash === undefined) {
      this.#consume(buffer, start, end);
      return;
    }
    const all = Buffer.concat([this.#stash, buffer.subarray(start, end)]);
    this.#stash = undefined;
    this.#consume(all, 0, all.length);
  }

  #consume(buffer: Buffer, start: number, end: number): void {
    const exchange = this.#exchange;
    while (start < end && this.#phase === "open") {
      if (exchange.over && !this.#answer.flows) {
        this.#stash = Buffer.from(buffer.subarray(start, end));
        this.#pause(FOR_CLIENT);
        return;
      }
      if (exchange.over) start = this.#readHead(buffer, start, end);
      else if (exchange.upstream !== undefined && !exchange.requestDone) start = this.#readBody(buffer, start, end);
      else {
        // The request waits for a connection, or for its answer.
        this.#stash = Buffer.from(buffer.subarray(start, end));
        this.#pause(FOR_TURN);
        return;
      }
    }
  }

  /** @returns how far it came */
  #readHead(buffer: Buffer, start: number, end: number): number {
    // An empty line before a request is tolerated (RFC 9112, 2.2).
    if (buffer[start] === 13 && (start + 1 === end || buffer[start + 1] === 10)) {
      if (start + 1 < end) return start + 2;
      this.#stash = Buffer.from(buffer.subarray(start, end));
      return end;
    }
    const result = parseRequestHead(buffer, start, end, head);
    if (result === COMPLETE) {
      if (this.#headTimer !== undefined) this.#stopHeadTimer();
      if (this.#service.prepare !== undefined && this.#postpones(buffer, start, end)) return end;
      return this.#begin(buffer, start, end);
    }
    if (result === INCOMPLETE) {
      this.#stash = Buffer.from(buffer.subarray(start, end));
      if (this.#headTimeoutMs > 0) this.#headTimer ??= setTimeout(() => this.#stream.close(), this.#headTimeoutMs);
      return end;
    }
    this.#stopHeadTimer();
    this.#startExchange();
    this.#exchange.requestDone = false;
    this.refuse(
      result === TOO_LARGE
        ? new Refusal("head-too-large", "the request's head is larger than 64 KiB")
        : new Refusal("malformed", "the request is not valid HTTP/1.1"),
    );
    return end;
  }

  /** Whether the request, and all that follows it, is read when more is known of where it may go. */
  #postpones(buffer: Buffer, start: number, end: number): boolean {
    const known = this.#service.prepare?.(view.view(buffer, start, head));
    if (known === undefined) return false;
    this.#stash = Buffer.from(buffer.subarray(start, end));
    this.#pause(FOR_TURN);
    const goOn = (): void => {
      if (this.#phase === "open" && this.#exchange.over) this.proceed();
    };
    known.then(goOn, goOn);
    return true;
  }

  #stopHeadTimer(): void {
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
  }

  #startExchange(): void {
    this.#exchange.start(head);
    this.#exchange.close ||= this.#draining;
    this.#answer.reset();
  }

  /** A head is complete: decides, and sends it with what there is of its body. */
  #begin(buffer: Buffer, start: number, end: number): number {
    this.#startExchange();
    const body = this.#body;
    const exchange = this.#exchange;
    body.begin(head);
    const bodyEnd = body.kind === "tunnel" ? head.end : body.advance(buffer, head.end, end);
    exchange.requestDone = body.done || body.kind === "tunnel";
    if (body.malformed) {
      this.refuse(new Refusal("malformed", "the request's body is not valid chunked coding"));
      return end;
    }
    const request = view.view(buffer, start, head);
    if (this.#service.observed) exchange.observation = this.#service.observe(request);
    if ((exchange.upgrade || body.kind === "tunnel") && this.#service.tunnelled !== undefined) {
      exchange.asked = new RequestCopy(request);
    }
    const choice = this.#service.choose(request, exchange, exchange.startedAt);
    const series = exchange.rule?.series;
    series?.request();
    if (choice instanceof Refusal) {
      this.refuse(choice);
      return bodyEnd;
    }
    if (bodyEnd > head.end) series?.requestFrame(bodyEnd - head.end);
    this.#server.send(choice, buffer, start, bodyEnd, head);
    return bodyEnd;
  }

  #readBody(buffer: Buffer, start: number, end: number): number {
    const body = this.#body;
    const bodyEnd = body.advance(buffer, start, end);
    if (body.malformed) {
      this.#server.abandon();
      if (this.#answer.begun) this.#stream.reset();
      else this.refuse(new Refusal("malformed", "the request's body is not valid chunked coding"));
      return end;
    }
    this.#server.body(buffer, start, bodyEnd, body.done);
    return bodyEnd;
  }

  holdBody(): void {
    this.#pause(FOR_UPSTREAM);
  }

  resumeBody(): void {
    this.#resume(FOR_UPSTREAM);
  }

  /** Takes up what came meanwhile. */
  proceed(): void {
    const stash = this.#stash;
    this.#stash = undefined;
    if (stash !== undefined) this.#consume(stash, 0, stash.length);
    if (this.#stash === undefined || this.#exchange.over) this.#resume(FOR_TURN);
  }

  #pause(reason: number): void {
    if (this.#pausedFor === 0) this.#stream.pause();
    this.#pausedFor |= reason;
  }

  #resume(reason: number): void {
    if (this.#pausedFor === 0) return;
    this.#pausedFor &= ~reason;
    if (this.#pausedFor === 0) this.#stream.resume();
  }

  onDrain(): void {
    this.#answer.flows = true;
    this.#exchange.upstream?.resume();
    if ((this.#pausedFor & FOR_CLIENT) === 0) return;
    this.proceed();
    if (this.#answer.flows) this.#resume(FOR_CLIENT);
  }

  // Its answers' ends.

  refuse(refusal: Refusal, error: StreamError = refusal.streamError): void {
    const exchange = this.#exchange;
    exchange.held.drop();
    exchange.close ||= refusal.close || !exchange.requestDone || this.#draining;
    const bytes = refusalBytes(refusal, this.#service.audience, { close: exchange.close, grpc: exchange.grpc });
    this.#service.refused(refusal, performance.now() - exchange.startedAt);
    exchange.answered = exchange.grpc ? 200 : refusal.status;
    exchange.observation?.response(exchange.answered, () => REFUSAL_FIELDS);
    this.#answer.write(bytes, 0, bytes.length);
    this.finish(error);
  }

  breakOff(error: StreamError): void {
    this.#exchange.finish(error);
    this.#stream.reset();
  }

  finish(error: StreamError = ""): void {
    const exchange = this.#exchange;
    exchange.number++;
    exchange.finish(error);
    this.#server.end();
    this.#resume(FOR_UPSTREAM);
    if (exchange.close || !exchange.requestDone || this.#clientEnded) {
      this.#end();
      return;
    }
    if (this.#draining && !this.#lastMayCome && this.#stash === undefined) {
      this.#end();
      return;
    }
    if (this.#stash !== undefined || this.#pausedFor !== 0) this.proceed();
  }

  tunnel(server: ByteStream, series: TcpSeries, bytes: Buffer, start: number, end: number): void {
    this.#phase = "over";
    const client = this.#stream;
    let over: (() => void) | undefined;
    const relay = new Relay({ stream: client, series: this.#service.tcp }, { stream: server, series }, () => {
      over?.();
      this.#service.closed();
    });
    this.#relay = relay;
    const stash = this.#stash;
    this.#stash = undefined;
    client.resume();
    server.resume();
    relay.forwardFromB(bytes, start, end);
    if (stash !== undefined) relay.forwardFromA(stash);
    if (this.#clientEnded) server.end();
    const { asked } = this.#exchange;
    if (asked !== undefined) over = this.#service.tunnelled?.(asked, () => relay.close());
  }

  // Its own end.

  onEnd(): void {
    this.#clientEnded = true;
    if (this.#phase !== "open") return;
    if (this.#exchange.over) {
      if (this.#stash === undefined) this.#stream.end();
      else this.#stream.close();
    } else if (!this.#exchange.requestDone) {
      // It will never be whole.
      this.#stream.close();
    }
  }

  onClose(errno: string): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#service.tcp.closed(errno);
    this.#farewell.cancel();
    this.#stash = undefined;
    this.#stopHeadTimer();
    this.#server.abandon();
    this.#exchange.finish("CANCEL");
    this.#server.close();
    this.#service.closed();
  }

  /** The connection ends, when the client has got everything. */
  #end(): void {
    this.#phase = "closing";
    this.#stash = undefined;
    this.#pausedFor = 0;
    this.#farewell.begin();
  }

  /**
   * No further request after the one under way.
   * @param lastMayCome the client may still be sending one: a proxy of the mesh, which closes by itself what it does not use
   */
  drain(lastMayCome: boolean): void {
    this.#draining = true;
    this.#lastMayCome = lastMayCome;
    if (this.#phase === "open" && this.#exchange.over && this.#stash === undefined && !lastMayCome) this.#end();
    else if (!this.#answer.begun) this.#exchange.close = true;
  }

  close(): void {
    if (this.#relay !== undefined) this.#relay.close();
    else this.#stream.close();
  }
}
