/**
 * A client's HTTP/1 connection: parses requests in place, one exchange at a time, and forwards byte ranges both ways
 * (RFC 9112). Pipelined requests wait in line. What the two sides of the proxy differ in is their {@link HttpService}.
 */
import { parseRetryAfter } from "../balance/breaker.ts";
import { CANCEL, INTERNAL_ERROR } from "../http/exchange-record.ts";
import { Refusal } from "../http/failure.ts";
import type { HeaderList } from "../http/request-head.ts";
import type { RetryPolicy, RouteRule, StreamError } from "../http/route-rule.ts";
import type { Choice, Destination, Http1Upstreams, HttpService } from "../http/service.ts";
import { type Due, Supervision, TIMEOUT_ERRORS } from "../http/supervision.ts";
import { Relay } from "../tcp/relay.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { Answer, UPGRADE_LINE } from "./answer.ts";
import { Body } from "./body.ts";
import { editRequestHead } from "./edit-head.ts";
import { Exchange } from "./exchange.ts";
import { Farewell } from "./farewell.ts";
import { Head } from "./head.ts";
import { Outbox } from "./outbox.ts";
import { COMPLETE, INCOMPLETE, parseRequestHead, TOO_LARGE } from "./parse-head.ts";
import { refusalBytes } from "./refusal-bytes.ts";
import { Http1RequestView, headerList } from "./request-view.ts";
import type { ResponseSink, Upstream } from "./upstream.ts";

type State =
  /** Between requests, or within a head. */
  | "head"
  /** Forwards a request's body. */
  | "body"
  /** The request waits for a connection to go to. */
  | "held"
  /** The request is sent; its answer is under way. */
  | "waiting"
  /** The last answer is sent: what the client still says is dropped. */
  | "closing"
  /** No more HTTP: closed, or relayed as bytes. */
  | "over";

const NOTHING = Buffer.alloc(0);

/** How long a client may take for a head that it has begun, milliseconds. */
export const HEAD_TIMEOUT_MS = 30_000;

/** Of the proxy's own answers, as those who watch see them. */
const REFUSAL_FIELDS: HeaderList = [["content-length", "0"]];

/** Why a stream reads no more for now. */
const FOR_UPSTREAM = 1;
const FOR_TURN = 2;

/** Parsing and use are one synchronous step: one for all. */
const head = new Head();
const outbox = new Outbox();
const view = new Http1RequestView();

export class Downstream implements StreamOwner, ResponseSink {
  readonly #stream: ByteStream;
  readonly #service: HttpService;
  readonly #body = new Body();
  readonly #exchange = new Exchange();
  readonly #answer: Answer;
  readonly #farewell: Farewell;
  #state: State = "head";
  #stash: Buffer | undefined;
  #pausedFor = 0;
  #clientEnded = false;
  #draining = false;
  /** While draining: whether the client may still send a request, which gets its answer. */
  #lastMayCome = false;
  #relay: Relay | undefined;
  /** Made with the first request whose route has time-outs or retries. */
  #supervision: Supervision | undefined;
  readonly #headTimeoutMs: number;
  /** Runs while a head has begun and is not complete: whoever sends a byte now and then would stay for ever (slow loris). */
  #headTimer: NodeJS.Timeout | undefined;

  /** @param headTimeoutMs 0: a client may take for ever over a head */
  constructor(stream: ByteStream, service: HttpService, headTimeoutMs: number = HEAD_TIMEOUT_MS) {
    this.#stream = stream;
    this.#headTimeoutMs = headTimeoutMs;
    this.#service = service;
    this.#answer = new Answer(stream, service.tcp);
    this.#farewell = new Farewell(stream);
    stream.owner = this;
  }

  /** Whether a proxy of the mesh is the client. */
  get meshed(): boolean {
    return this.#service.audience.meshed;
  }

  /** Of the request under way. */
  get method(): string {
    return this.#exchange.method;
  }

  // The client.

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
    while (start < end) {
      switch (this.#state) {
        case "head":
          start = this.#readHead(buffer, start, end);
          break;
        case "body":
          start = this.#forwardBody(buffer, start, end);
          break;
        case "held":
        case "waiting":
          this.#stash = Buffer.from(buffer.subarray(start, end));
          this.#pause(FOR_TURN);
          return;
        default:
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
    this.#refuse(
      result === TOO_LARGE
        ? new Refusal("head-too-large", "the request's head is larger than 64 KiB")
        : new Refusal("malformed", "the request is not valid HTTP/1.1"),
    );
    return end;
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
    body.begin(head);
    const bodyEnd = body.kind === "tunnel" ? head.end : body.advance(buffer, head.end, end);
    this.#exchange.requestDone = body.done || body.kind === "tunnel";
    if (body.malformed) {
      this.#refuse(new Refusal("malformed", "the request's body is not valid chunked coding"));
      return end;
    }
    const request = view.view(buffer, start, head);
    if (this.#service.observed) this.#exchange.observation = this.#service.observe(request);
    const choice = this.#service.choose(request, this.#exchange, this.#exchange.startedAt);
    const { rule } = this.#exchange;
    rule?.series?.request();
    if (choice instanceof Refusal) {
      this.#refuse(choice);
      return bodyEnd;
    }
    if (bodyEnd > head.end) rule?.series?.requestFrame(bodyEnd - head.end);
    const upgrade = this.#exchange.upgrade ? UPGRADE_LINE : NOTHING;
    outbox.message(buffer, start, head, this.#service.requestLines, upgrade, bodyEnd);
    const { bytes, from, to } = outbox;
    const retry = rule?.retry;
    if (rule !== undefined && (retry ?? rule.timeouts) !== undefined) this.#supervise(rule);
    const most = retry === undefined ? undefined : head.end - start + retry.maxRequestBytes;
    const upstream = choice instanceof Promise ? undefined : this.#upstreams(choice).take();
    if (upstream === undefined) {
      this.#exchange.held.start(bytes, from, to, most);
      this.#startObtaining(choice);
      return bodyEnd;
    }
    const destination = choice as Destination;
    destination.started();
    const edited = this.#exchange.edits !== undefined;
    if (destination.meshed || retry !== undefined || edited) this.#exchange.held.start(bytes, from, to, most);
    if (edited) {
      this.#sendHeld(destination, upstream);
      return bodyEnd;
    }
    this.#engage(destination, upstream);
    if (!upstream.request(bytes, from, to, head) && !this.#exchange.requestDone) this.#pause(FOR_UPSTREAM);
    return bodyEnd;
  }

  #upstreams(destination: Destination): Http1Upstreams {
    return destination.http1(this.#exchange.upgrade || this.#exchange.method === "CONNECT");
  }

  #engage(destination: Destination, upstream: Upstream): void {
    this.#state = this.#exchange.requestDone ? "waiting" : "body";
    this.#exchange.engage(destination, upstream);
    upstream.begin(this);
    this.#supervision?.sent(performance.now());
  }

  #supervise(rule: RouteRule): void {
    this.#supervision ??= new Supervision((due) => this.#onDue(due));
    this.#supervision.begin(rule, this.#exchange.startedAt);
    if (this.#exchange.requestDone) this.#supervision.requestDone(this.#exchange.startedAt);
  }

  #onDue(due: Due): void {
    if (due === "retry") {
      this.#startObtaining(this.#service.retry?.(this.#exchange) ?? new Refusal("unexpected", "there is no other try"));
      return;
    }
    const retry = due === "try" ? this.#mayRetry() : undefined;
    if (retry === undefined) this.#timeOut(due);
    else this.#tryAgain(retry, 0, TIMEOUT_ERRORS[due]);
  }

  #mayRetry(): RetryPolicy | undefined {
    if (!this.#exchange.held.complete || this.#answer.begun) return undefined;
    return this.#supervision?.mayRetry();
  }

  /** What came so far is not passed on: the request is sent once more, after a while. @param status what the try came to */
  #tryAgain(retry: RetryPolicy, status: number, error: StreamError = ""): void {
    this.#exchange.count(status, error !== "", error);
    this.#exchange.part(0, CANCEL)?.close();
    this.#state = "held";
    this.#exchange.number++;
    this.#supervision?.backOff(retry);
  }

  #timeOut(due: Due): void {
    const { timeouts } = this.#exchange.rule ?? {};
    const error = TIMEOUT_ERRORS[due];
    this.#exchange.count(this.#answer.status, true, error);
    this.#exchange.part(this.#answer.bytes, CANCEL)?.close();
    if (this.#answer.begun) {
      this.#exchange.finish(error);
      this.#stream.reset();
      return;
    }
    const what = due === "try" ? "the response's head" : due;
    this.#refuse(new Refusal("timeout", `time-out of the route: ${what}`, { close: timeouts?.closes ?? false }), error);
  }

  #startObtaining(choice: Choice | Promise<Choice>): void {
    const { number } = this.#exchange;
    this.#obtain(choice).catch((error: unknown) => {
      if (number === this.#exchange.number)
        this.#refuse(new Refusal("unexpected", `the proxy failed: ${String(error)}`));
    });
  }

  /** Waits for a destination and a connection to it, over as many as it takes. */
  async #obtain(first: Choice | Promise<Choice>): Promise<void> {
    const { number } = this.#exchange;
    this.#state = "held";
    let choice = first instanceof Promise ? await first : first;
    for (;;) {
      if (number !== this.#exchange.number) return;
      if (choice instanceof Refusal) {
        const retry = choice.cause === "failfast" ? this.#mayRetry() : undefined;
        if (retry === undefined) this.#refuse(choice);
        else this.#tryAgain(retry, choice.status);
        return;
      }
      choice.started();
      try {
        const upstream = this.#upstreams(choice).take() ?? (await this.#upstreams(choice).connect());
        if (number === this.#exchange.number) {
          this.#sendHeld(choice, upstream);
        } else {
          choice.ended();
          upstream.release(true);
        }
        return;
      } catch (error) {
        choice.ended();
        choice = await this.#service.again(choice, this.#exchange, error as Error, this.#exchange.startedAt);
      }
    }
  }

  #sendHeld(destination: Destination, upstream: Upstream): void {
    const held = this.#exchange.held;
    this.#engage(destination, upstream);
    // Its head was whole when it was kept.
    parseRequestHead(held.bytes, 0, held.length, head);
    const { rule } = this.#exchange;
    const { edits } = this.#exchange;
    let flows: boolean;
    if (edits === undefined) {
      flows = upstream.request(held.bytes, 0, held.length, head);
    } else {
      const edited = editRequestHead(held.bytes, 0, head, edits);
      // What was added before is no client's, and went with what a client must not say.
      const upgrade = this.#exchange.upgrade ? UPGRADE_LINE : NOTHING;
      outbox.edited(edited, held.bytes, head, this.#service.requestLines, upgrade, held.length);
      const { bytes, from, to } = outbox;
      parseRequestHead(bytes, from, to, head);
      flows = upstream.request(bytes, from, to, head);
    }
    if (!destination.meshed && rule?.retry === undefined) held.drop();
    if (!flows && !this.#exchange.requestDone) this.#pause(FOR_UPSTREAM);
    this.#continue();
  }

  #forwardBody(buffer: Buffer, start: number, end: number): number {
    const body = this.#body;
    const bodyEnd = body.advance(buffer, start, end);
    const upstream = this.#exchange.upstream as Upstream;
    if (body.malformed) {
      this.#abandon();
      if (this.#answer.begun) this.#stream.reset();
      else this.#refuse(new Refusal("malformed", "the request's body is not valid chunked coding"));
      return end;
    }
    this.#exchange.held.add(buffer, start, bodyEnd);
    this.#exchange.rule?.series?.requestFrame(bodyEnd - start);
    this.#supervision?.moved();
    if (body.done) {
      this.#exchange.requestDone = true;
      this.#exchange.requestDoneAt = performance.now();
      this.#state = "waiting";
      this.#supervision?.requestDone(this.#exchange.requestDoneAt);
    }
    if (!upstream.write(buffer, start, bodyEnd) && !body.done) this.#pause(FOR_UPSTREAM);
    return bodyEnd;
  }

  /** Takes up what came meanwhile. */
  #continue(): void {
    const stash = this.#stash;
    this.#stash = undefined;
    if (stash !== undefined) this.#consume(stash, 0, stash.length);
    if (this.#stash === undefined || this.#state === "head") this.#resume(FOR_TURN);
  }

  onEnd(): void {
    this.#clientEnded = true;
    if (this.#state === "head") {
      if (this.#stash === undefined) this.#stream.end();
      else this.#stream.close();
    } else if (!this.#exchange.requestDone && this.#state !== "closing") {
      // It will never be whole.
      this.#stream.close();
    }
  }

  onDrain(): void {
    this.#exchange.upstream?.resume();
  }

  onClose(errno: string): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#service.tcp.closed(errno);
    this.#farewell.cancel();
    this.#stash = undefined;
    this.#stopHeadTimer();
    this.#abandon();
    this.#exchange.finish("CANCEL");
    this.#supervision?.close();
    this.#service.closed();
  }

  // The server's answer.

  onInterim(bytes: Buffer, start: number, interim: Head): void {
    // HTTP/1.0 knows none.
    if (!this.#exchange.oldClient) this.#answer.interim(bytes, start, interim);
  }

  onHead(bytes: Buffer, start: number, bodyEnd: number, answer: Head, whole = false): boolean {
    const now = performance.now();
    const destination = this.#exchange.destination as Destination;
    if (answer.notDelivered && this.#exchange.held.complete) {
      this.#sendElsewhere(destination);
      return true;
    }
    destination.answered(now - this.#exchange.startedAt, now);
    if (destination.judged) this.#noteRetryAfter(bytes, start, answer);
    const { rule } = this.#exchange;
    if (rule?.retry?.retriesOn(answer.status, undefined)) {
      const retry = this.#mayRetry();
      if (retry !== undefined) {
        this.#tryAgain(retry, answer.status);
        return true;
      }
    }
    this.#exchange.held.drop();
    this.#supervision?.answered();
    const { status, bodyKind } = answer;
    const { oldClient } = this.#exchange;
    if ((status === 101 && !this.#exchange.upgrade) || (oldClient && bodyKind === "chunked")) {
      this.#abandon();
      this.#refuse(new Refusal("bad-answer", "the server answered with what was not asked for"));
      return true;
    }
    this.#exchange.answered = status;
    this.#exchange.observation?.response(status, () => headerList(bytes, start, answer));
    if (bodyEnd > answer.end) this.#tellFrame(bodyEnd - answer.end);
    // An end of the connection can be told from a broken one only where TLS says so: between proxies bodies are framed.
    const chunk = bodyKind === "close" && (this.meshed || answer.unframed) && !oldClient;
    if (
      bodyKind !== "tunnel" &&
      (answer.proxyConnectionClose || !this.#exchange.requestDone || (bodyKind === "close" && !chunk))
    )
      this.#exchange.close = true;
    return this.#answer.head(bytes, start, bodyEnd, answer, {
      close: this.#exchange.close,
      oldClient,
      chunk,
      whole,
      edits: rule?.response,
    });
  }

  #noteRetryAfter(bytes: Buffer, start: number, answer: Head): void {
    const field = headerList(bytes, start, answer).find(([name]) => name === "retry-after");
    this.#exchange.retryAfterMs = parseRetryAfter(field?.[1], Date.now());
  }

  onBody(bytes: Buffer, start: number, end: number, whole = false): boolean {
    this.#supervision?.moved();
    this.#tellFrame(end - start);
    return this.#answer.body(bytes, start, end, whole);
  }

  #tellFrame(bytes: number): void {
    const { rule } = this.#exchange;
    if (rule === undefined) return;
    rule.tries?.responseFrame(bytes);
    rule.series?.responseFrame(bytes);
  }

  onComplete(trailers?: Buffer): void {
    this.#answer.end(trailers);
    const exchange = this.#exchange;
    exchange.count(this.#answer.status, false);
    this.#supervision?.whole(this.#answer.status);
    exchange.part(this.#answer.bytes)?.release(exchange.requestDone && !exchange.oldClient);
    this.#finish();
  }

  onTunnel(bytes: Buffer, start: number, end: number): void {
    const destination = this.#exchange.destination as Destination;
    const server = (this.#exchange.upstream as Upstream).detach();
    this.#exchange.count(this.#answer.status, false);
    this.#exchange.part(this.#answer.bytes);
    this.#exchange.finish("");
    this.#supervision?.close();
    this.#state = "over";
    const client = this.#stream;
    const relay = new Relay(
      { stream: client, series: this.#service.tcp },
      { stream: server, series: this.#upstreams(destination).tcp },
      () => this.#service.closed(),
    );
    this.#relay = relay;
    const stash = this.#stash;
    this.#stash = undefined;
    client.resume();
    server.resume();
    relay.forwardFromB(bytes, start, end);
    if (stash !== undefined) relay.forwardFromA(stash);
    if (this.#clientEnded) server.end();
  }

  onBroken(reason: "closed" | "malformed" | "unprocessed", errno: string): void {
    if (reason === "unprocessed" && this.#exchange.held.complete && !this.#answer.begun) {
      this.#sendElsewhere(this.#exchange.destination as Destination);
      return;
    }
    const error = reason === "malformed" ? "UNKNOWN" : "IO";
    this.#exchange.count(this.#answer.status, true, error);
    this.#exchange.part(this.#answer.bytes, INTERNAL_ERROR);
    if (this.#answer.begun) {
      this.#exchange.finish(error);
      // What the client has got must not pass for the whole.
      this.#stream.reset();
      return;
    }
    this.#refuse(
      reason === "malformed"
        ? new Refusal("bad-answer", "the server's answer is not valid HTTP/1.1")
        : new Refusal(
            "broken",
            `the server closed the connection before it answered${errno === "" ? "" : ` (${errno})`}`,
          ),
    );
  }

  onUpstreamDrain(): void {
    this.#resume(FOR_UPSTREAM);
  }

  /** The peer's proxy could not pass the request on: another one may. */
  #sendElsewhere(destination: Destination): void {
    this.#exchange.count(0, true, "REFUSED");
    this.#exchange.part(0, INTERNAL_ERROR)?.close();
    this.#startObtaining(
      this.#service.again(destination, this.#exchange, new UndeliveredError(), this.#exchange.startedAt),
    );
  }

  /** Breaks the exchange off, if there is one. */
  #abandon(): void {
    const exchange = this.#exchange;
    exchange.number++;
    this.#supervision?.end();
    // The client left, with what it had got so far.
    if (this.#answer.begun) exchange.count(this.#answer.status, false);
    exchange.held.drop();
    exchange.part(this.#answer.bytes, CANCEL)?.close();
  }

  /** @param error of the route's metrics, where the refusal's cause does not say it */
  #refuse(refusal: Refusal, error: StreamError = refusal.streamError): void {
    this.#exchange.held.drop();
    this.#exchange.close ||= refusal.close || !this.#exchange.requestDone || this.#draining;
    const bytes = refusalBytes(refusal, this.#service.audience, {
      close: this.#exchange.close,
      grpc: this.#exchange.grpc,
    });
    this.#service.refused(refusal, performance.now() - this.#exchange.startedAt);
    this.#exchange.answered = this.#exchange.grpc ? 200 : refusal.status;
    this.#exchange.observation?.response(this.#exchange.answered, () => REFUSAL_FIELDS);
    this.#answer.write(bytes, 0, bytes.length);
    this.#finish(error);
  }

  /** The answer is sent. */
  #finish(error: StreamError = ""): void {
    this.#exchange.number++;
    this.#exchange.finish(error);
    this.#supervision?.end();
    this.#resume(FOR_UPSTREAM);
    if (this.#exchange.close || !this.#exchange.requestDone || this.#clientEnded) {
      this.#end();
      return;
    }
    this.#state = "head";
    if (this.#draining && !this.#lastMayCome && this.#stash === undefined) {
      this.#end();
      return;
    }
    if (this.#stash !== undefined || this.#pausedFor !== 0) this.#continue();
  }

  /** The connection ends, when the client has got everything. */
  #end(): void {
    this.#state = "closing";
    this.#stash = undefined;
    this.#pausedFor = 0;
    this.#farewell.begin();
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

  /**
   * No further request after the one under way.
   * @param lastMayCome the client may still be sending one: a proxy of the mesh, which closes by itself what it does not use
   */
  drain(lastMayCome: boolean): void {
    this.#draining = true;
    this.#lastMayCome = lastMayCome;
    if (this.#state === "head" && this.#stash === undefined && !lastMayCome) this.#end();
    else if (!this.#answer.begun) this.#exchange.close = true;
  }

  close(): void {
    if (this.#relay !== undefined) this.#relay.close();
    else this.#stream.close();
  }
}

/** The peer's answer says that it did not pass the request on. */
class UndeliveredError extends Error {
  constructor() {
    super("the peer could not pass the request on to its application");
    this.name = "UndeliveredError";
  }
}
