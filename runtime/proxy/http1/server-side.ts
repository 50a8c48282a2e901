/**
 * The server's side of a client's HTTP/1 connection: sends its requests to where they go, one after the other, and passes the answers
 * on. The client's side is `downstream.ts`.
 */
import { parseRetryAfter } from "../balance/breaker.ts";
import { CANCEL, INTERNAL_ERROR } from "../http/exchange-record.ts";
import { Refusal } from "../http/failure.ts";
import type { StreamError } from "../http/route-rule.ts";
import type { Choice, Destination, Http1Upstreams, HttpService } from "../http/service.ts";
import { Tries } from "../http/tries.ts";
import type { TcpSeries } from "../metrics/series.ts";
import type { ByteStream } from "../transport/stream.ts";
import { type Answer, UPGRADE_LINE } from "./answer.ts";
import { editRequestHead } from "./edit-head.ts";
import type { Exchange } from "./exchange.ts";
import { Head } from "./head.ts";
import { Outbox } from "./outbox.ts";
import { parseRequestHead } from "./parse-head.ts";
import { headerList } from "./request-view.ts";
import type { ResponseSink, Upstream } from "./upstream.ts";

const NOTHING = Buffer.alloc(0);

/** Of requests that were held. Parsing and use are one synchronous step: one for all. */
const heldHead = new Head();
const outbox = new Outbox();

/** The client's side, as the server's sees it. */
export interface ClientSide {
  /** The server does not keep up with the request's body. */
  holdBody(): void;
  /** It does again. */
  resumeBody(): void;
  /** What was held is sent: more may come. */
  proceed(): void;
  /** The answer is sent. */
  finish(error?: StreamError): void;
  /** The proxy answers by itself. @param error of the route's metrics, where the refusal's cause does not say it */
  refuse(refusal: Refusal, error?: StreamError): void;
  /** What the client has got must not pass for the whole. */
  breakOff(error: StreamError): void;
  /** No more HTTP: what `server` says goes on as it is, `bytes[start, end)` first. */
  tunnel(server: ByteStream, series: TcpSeries, bytes: Buffer, start: number, end: number): void;
}

export class ServerSide extends Tries<Upstream, Exchange> implements ResponseSink {
  readonly #client: ClientSide;
  readonly #answer: Answer;

  constructor(client: ClientSide, service: HttpService, exchange: Exchange, answer: Answer) {
    super(service, exchange);
    this.#client = client;
    this.#answer = answer;
  }

  // The request.

  /** The request at `buffer[start, bodyEnd)` goes where `choice` says: its head, and what there is of its body. */
  send(choice: Destination | Promise<Choice>, buffer: Buffer, start: number, bodyEnd: number, head: Head): void {
    const exchange = this.record;
    const { rule, held } = exchange;
    outbox.message(buffer, start, head, this.service.requestLines, this.#upgradeLine, bodyEnd);
    const { bytes, from, to } = outbox;
    const retry = rule?.retry;
    if (rule !== undefined && (retry ?? rule.timeouts) !== undefined) this.supervise(rule);
    const most = retry === undefined ? undefined : head.end - start + retry.maxRequestBytes;
    const upstream = choice instanceof Promise ? undefined : this.connections(choice).take();
    if (upstream === undefined) {
      held.start(bytes, from, to, most);
      this.startObtaining(choice);
      return;
    }
    const destination = choice as Destination;
    destination.started();
    const edited = exchange.edits !== undefined;
    if (destination.meshed || retry !== undefined || edited) held.start(bytes, from, to, most);
    if (edited) {
      this.engage(destination, upstream);
      return;
    }
    this.#begin(destination, upstream);
    if (!upstream.request(bytes, from, to, head) && !exchange.requestDone) this.#client.holdBody();
  }

  /** What was added before is no client's, and went with what a client must not say. */
  get #upgradeLine(): Buffer {
    return this.record.upgrade ? UPGRADE_LINE : NOTHING;
  }

  protected connections(destination: Destination): Http1Upstreams {
    return destination.http1(this.record.upgrade || this.record.method === "CONNECT");
  }

  #begin(destination: Destination, upstream: Upstream): void {
    this.trying();
    this.record.engage(destination, upstream);
    upstream.begin(this);
    this.supervision?.sent(performance.now());
  }

  /** Sends what is held. */
  protected engage(destination: Destination, upstream: Upstream): boolean {
    const { held, rule, edits, requestDone } = this.record;
    this.#begin(destination, upstream);
    // Its head was whole when it was kept.
    parseRequestHead(held.bytes, 0, held.length, heldHead);
    let flows: boolean;
    if (edits === undefined) {
      flows = upstream.request(held.bytes, 0, held.length, heldHead);
    } else {
      const edited = editRequestHead(held.bytes, 0, heldHead, edits);
      outbox.edited(edited, held.bytes, heldHead, this.service.requestLines, this.#upgradeLine, held.length);
      const { bytes, from, to } = outbox;
      parseRequestHead(bytes, from, to, heldHead);
      flows = upstream.request(bytes, from, to, heldHead);
    }
    if (!destination.meshed && rule?.retry === undefined) held.drop();
    if (!flows && !requestDone) this.#client.holdBody();
    this.#client.proceed();
    return true;
  }

  protected unwanted(upstream: Upstream): void {
    upstream.release(true);
  }

  /** More of the request's body. @param done it ends with these */
  body(buffer: Buffer, start: number, end: number, done: boolean): void {
    const exchange = this.record;
    exchange.held.add(buffer, start, end);
    exchange.rule?.series?.requestFrame(end - start);
    this.supervision?.moved();
    if (done) {
      exchange.requestDone = true;
      exchange.requestDoneAt = performance.now();
      this.supervision?.requestDone(exchange.requestDoneAt);
    }
    const upstream = exchange.upstream as Upstream;
    if (!upstream.write(buffer, start, end) && !done) this.#client.holdBody();
  }

  // Tries.

  protected get resendable(): boolean {
    return this.record.held.complete && !this.#answer.begun;
  }

  protected get answerStatus(): number {
    return this.#answer.status;
  }

  protected leave(code: number): void {
    this.record.part(this.#answer.bytes, code)?.close();
  }

  protected refuse(refusal: Refusal, error?: StreamError): void {
    this.#client.refuse(refusal, error);
  }

  protected breakOff(error: StreamError): void {
    this.#client.breakOff(error);
  }

  /** Breaks the exchange off, if there is one. */
  abandon(): void {
    const exchange = this.record;
    exchange.number++;
    this.supervision?.end();
    // The client left, with what it had got so far.
    if (this.#answer.begun) exchange.count(this.#answer.status, false);
    exchange.held.drop();
    this.leave(CANCEL);
  }

  /** The exchange is over. */
  end(): void {
    this.supervision?.end();
  }

  /** There will be no more. */
  close(): void {
    this.supervision?.close();
  }

  // The answer.

  get method(): string {
    return this.record.method;
  }

  onInterim(bytes: Buffer, start: number, interim: Head): void {
    // HTTP/1.0 knows none.
    if (this.allowsInterim() && !this.record.oldClient) this.#answer.interim(bytes, start, interim);
  }

  onHead(bytes: Buffer, start: number, bodyEnd: number, answer: Head, whole = false): boolean {
    const now = performance.now();
    const exchange = this.record;
    const destination = exchange.destination as Destination;
    if (answer.notDelivered && destination.meshed && this.resendable) {
      this.sendElsewhere();
      return true;
    }
    destination.answered(now - exchange.startedAt, now);
    if (destination.judged) this.#noteRetryAfter(bytes, start, answer);
    const { rule } = exchange;
    if (rule?.retry?.retriesOn(answer.status, undefined)) {
      const retry = this.mayRetry();
      if (retry !== undefined) {
        this.tryAgain(retry, answer.status);
        return true;
      }
    }
    exchange.held.drop();
    this.supervision?.answered();
    const { status, bodyKind } = answer;
    const { oldClient } = exchange;
    if ((status === 101 && !exchange.upgrade) || (oldClient && bodyKind === "chunked")) {
      this.abandon();
      this.refuse(new Refusal("bad-answer", "the server answered with what was not asked for"));
      return true;
    }
    exchange.answered = status;
    exchange.observation?.response(status, () => headerList(bytes, start, answer));
    if (bodyEnd > answer.end) this.#tellFrame(bodyEnd - answer.end);
    // An end of the connection can be told from a broken one only where TLS says so: between proxies bodies are framed.
    const chunk = bodyKind === "close" && (this.service.audience.meshed || answer.unframed) && !oldClient;
    if (
      bodyKind !== "tunnel" &&
      (answer.proxyConnectionClose || !exchange.requestDone || (bodyKind === "close" && !chunk))
    )
      exchange.close = true;
    return this.#answer.head(bytes, start, bodyEnd, answer, {
      close: exchange.close,
      oldClient,
      chunk,
      whole,
      edits: rule?.response,
    });
  }

  #noteRetryAfter(bytes: Buffer, start: number, answer: Head): void {
    const field = headerList(bytes, start, answer).find(([name]) => name === "retry-after");
    this.record.retryAfterMs = parseRetryAfter(field?.[1], Date.now());
  }

  onBody(bytes: Buffer, start: number, end: number, whole = false): boolean {
    this.supervision?.moved();
    this.#tellFrame(end - start);
    return this.#answer.body(bytes, start, end, whole);
  }

  #tellFrame(bytes: number): void {
    const { rule } = this.record;
    if (rule === undefined) return;
    rule.tries?.responseFrame(bytes);
    rule.series?.responseFrame(bytes);
  }

  onComplete(trailers?: Buffer): void {
    this.#answer.end(trailers);
    const exchange = this.record;
    exchange.count(this.#answer.status, false);
    this.supervision?.whole(this.#answer.status);
    exchange.part(this.#answer.bytes)?.release(exchange.requestDone && !exchange.oldClient);
    this.#client.finish();
  }

  onTunnel(bytes: Buffer, start: number, end: number): void {
    const exchange = this.record;
    const { tcp } = this.connections(exchange.destination as Destination);
    const server = (exchange.upstream as Upstream).detach();
    exchange.count(this.#answer.status, false);
    exchange.part(this.#answer.bytes);
    exchange.finish("");
    this.close();
    this.#client.tunnel(server, tcp, bytes, start, end);
  }

  onBroken(reason: "closed" | "malformed" | "unprocessed", errno: string): void {
    if (reason === "unprocessed" && this.resendable) {
      this.sendElsewhere();
      return;
    }
    const error = reason === "malformed" ? "UNKNOWN" : "IO";
    this.record.count(this.#answer.status, true, error);
    this.record.part(this.#answer.bytes, INTERNAL_ERROR);
    if (this.#answer.begun) {
      this.breakOff(error);
      return;
    }
    this.refuse(
      reason === "malformed"
        ? new Refusal("bad-answer", "the server's answer is not valid HTTP/1.1")
        : new Refusal(
            "broken",
            `the server closed the connection before it answered${errno === "" ? "" : ` (${errno})`}`,
          ),
    );
  }

  onUpstreamDrain(): void {
    this.#client.resumeBody();
  }
}
