/**
 * One request on a client's HTTP/2 connection, to a server and back: decides by its head, relays head, body and trailers both
 * ways as they come, and passes on how either end breaks it off (RFC 9113, 5.1, 8.1). The counterpart of HTTP/1's Downstream.
 */

import type { HeaderField } from "../../wire/hpack/field.ts";
import { errorCode } from "../../wire/http2/protocol.ts";
import type { Http2Stream, StreamHandler, StreamReset } from "../../wire/http2/stream.ts";
import { parseRetryAfter } from "../balance/breaker.ts";
import { CANCEL, ExchangeRecord } from "../http/exchange-record.ts";
import { Refusal } from "../http/failure.ts";
import type { RetryPolicy, RouteRule, StreamError } from "../http/route-rule.ts";
import type { Choice, Destination, HttpService } from "../http/service.ts";
import { type Due, Supervision, TIMEOUT_ERRORS } from "../http/supervision.ts";
import { editFields } from "./edit-fields.ts";
import { CUT, GRPC_STATUS, grpcStatusOf, kindsOf, NOT_DELIVERED, ORIG_PROTO, without } from "./field-kinds.ts";
import { Half } from "./half.ts";
import { refusalFields } from "./refusal-fields.ts";
import { Http2RequestView, headerList } from "./request-view.ts";
import { type ResponseSink, ServerLeg } from "./server-leg.ts";
import type { Http2Client, UpstreamStream } from "./upstreams.ts";

/** What a request may have sent and still be sent elsewhere (reference 9.4). */
const MAX_KEPT_BYTES = 65_536;
/** Connections that had room when they were asked for, and then had none. */
const MAX_FULL = 3;

const view = new Http2RequestView();

/** Of the connection that the request came on. */
export interface ExchangeHome {
  readonly service: HttpService;
  /** Fields added to every request. */
  readonly requestFields: readonly HeaderField[];
}

export class StreamExchange implements StreamHandler, ResponseSink {
  readonly #home: ExchangeHome;
  readonly #client: Http2Stream;
  readonly #record = new ExchangeRecord();
  readonly #request: Half;
  /** Of the try under way. */
  #response: Half | undefined;
  #upstream: UpstreamStream | undefined;
  /** The head as it is sent on, while it may have to be sent once more. */
  #head: readonly HeaderField[] | undefined;
  /** The request is its head alone. */
  #headOnly = false;
  #downgrade = false;
  #supervision: Supervision | undefined;
  /** A head whose gRPC status is to be seen first: a failure is tried again. */
  #peeked: HeaderField[] | undefined;
  #status = 0;
  #grpcStatus: number | undefined;
  #bytes = 0;
  /** The client has, or will have, all of its answer. */
  #whole = false;
  #stopsRequest = false;
  #over = false;

  constructor(home: ExchangeHome, client: Http2Stream) {
    this.#home = home;
    this.#client = client;
    this.#request = new Half(client);
  }

  /** @param fields valid during the call only */
  begin(fields: readonly HeaderField[], ended: boolean): void {
    const kinds = kindsOf(fields);
    const { service, requestFields } = this.#home;
    const record = this.#record;
    const request = view.view(fields, kinds);
    record.begin(request.grpc);
    record.requestDone = ended;
    this.#headOnly = ended;
    this.#downgrade = (kinds & ORIG_PROTO) !== 0 && service.audience.meshed;
    if (service.observed) record.observation = service.observe(request);
    const choice = service.choose(request, record, record.startedAt);
    const { rule } = record;
    rule?.series?.request();
    if (choice instanceof Refusal) {
      this.#refuse(choice);
      return;
    }
    const cut = this.#downgrade ? CUT : CUT | ORIG_PROTO;
    const { edits } = record;
    let head = (kinds & cut) === 0 ? fields : without(fields, cut);
    if (edits !== undefined) head = editFields(head, edits);
    // A copy in any case: `fields` is used again.
    this.#head = head.concat(requestFields);
    if (!ended) this.#request.keep(rule?.retry?.maxRequestBytes ?? MAX_KEPT_BYTES);
    if (rule !== undefined && (rule.retry ?? rule.timeouts) !== undefined) this.#supervise(rule);
    const client = choice instanceof Promise ? undefined : choice.http2(this.#downgrade).take();
    if (client === undefined) this.#startObtaining(choice);
    else {
      const destination = choice as Destination;
      destination.started();
      if (!this.#engage(destination, client)) {
        destination.ended();
        this.#startObtaining(choice);
      }
    }
  }

  /** @returns false where the connection takes no more */
  #engage(destination: Destination, client: Http2Client): boolean {
    const upstream = client.request(this.#head as readonly HeaderField[], this.#headOnly, new ServerLeg(this));
    if (upstream === undefined) return false;
    this.#upstream = upstream;
    this.#record.sent(destination);
    this.#supervision?.sent(performance.now());
    this.#response = new Half(upstream);
    this.#response.attach(this.#client, false);
    this.#request.attach(upstream, this.#headOnly);
    return true;
  }

  #startObtaining(choice: Choice | Promise<Choice>): void {
    const { number } = this.#record;
    this.#obtain(choice).catch((error: unknown) => {
      if (number === this.#record.number) this.#refuse(new Refusal("unexpected", `the proxy failed: ${String(error)}`));
    });
  }

  /** Waits for a destination and a connection with room, over as many as it takes. */
  async #obtain(first: Choice | Promise<Choice>): Promise<void> {
    const record = this.#record;
    const { number } = record;
    let full = 0;
    let choice = first instanceof Promise ? await first : first;
    for (;;) {
      if (number !== record.number) return;
      if (choice instanceof Refusal) {
        const retry = choice.cause === "failfast" ? this.#mayRetry() : undefined;
        if (retry === undefined) this.#refuse(choice);
        else this.#tryAgain(retry, choice.status);
        return;
      }
      const destination = choice;
      destination.started();
      try {
        const upstreams = destination.http2(this.#downgrade);
        const client = upstreams.take() ?? (await upstreams.connect());
        if (number === record.number && this.#engage(destination, client)) return;
        destination.ended();
        if (number === record.number && ++full === MAX_FULL) {
          this.#refuse(new Refusal("load-shed", "the server takes no more requests at once"));
          return;
        }
      } catch (error) {
        destination.ended();
        choice = await this.#home.service.again(destination, record, error as Error, record.startedAt);
      }
    }
  }

  #supervise(rule: RouteRule): void {
    this.#supervision = new Supervision((due) => this.#onDue(due));
    this.#supervision.begin(rule, this.#record.startedAt);
    if (this.#record.requestDone) this.#supervision.requestDone(this.#record.startedAt);
  }

  #onDue(due: Due): void {
    const { service } = this.#home;
    if (due === "retry") {
      this.#startObtaining(service.retry?.(this.#record) ?? new Refusal("unexpected", "there is no other try"));
      return;
    }
    const retry = due === "try" ? this.#mayRetry() : undefined;
    if (retry === undefined) this.#timeOut(due);
    else this.#tryAgain(retry, 0, TIMEOUT_ERRORS[due]);
  }

  /** Whether the request can be sent once more: nothing of an answer was passed on, all of it is here. */
  get #resendable(): boolean {
    return this.#head !== undefined && (this.#headOnly || this.#request.kept);
  }

  #mayRetry(): RetryPolicy | undefined {
    return this.#resendable ? this.#supervision?.mayRetry() : undefined;
  }

  #tryAgain(retry: RetryPolicy, status: number, error: StreamError = ""): void {
    this.#record.count(status, error !== "", error, this.#grpcStatus);
    this.#leave(CANCEL);
    this.#record.number++;
    this.#supervision?.backOff(retry);
  }

  #timeOut(due: Due): void {
    const error = TIMEOUT_ERRORS[due];
    this.#record.count(this.#status, true, error);
    this.#leave(CANCEL);
    if (this.#status !== 0) {
      this.#client.reset(errorCode.cancel);
      this.#finish(error);
      return;
    }
    const what = due === "try" ? "the response's head" : due;
    const close = this.#record.rule?.timeouts?.closes ?? false;
    this.#refuse(new Refusal("timeout", `time-out of the route: ${what}`, { close }), error);
  }

  /** The try under way is over, or is broken off. @param code tells the server so */
  #leave(code?: number): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    this.#peeked = undefined;
    this.#request.detach();
    const end = { responseBytes: this.#bytes, grpcStatus: this.#grpcStatus };
    if (code === undefined) {
      this.#record.leave(end);
      return;
    }
    upstream?.reset(code);
    this.#record.leave({ ...end, reset: code });
    this.#grpcStatus = undefined;
  }

  #sendElsewhere(): void {
    const destination = this.#record.destination as Destination;
    this.#record.count(0, true, "REFUSED");
    this.#leave(CANCEL);
    const problem = new Error("the peer could not pass the request on to its application");
    this.#startObtaining(this.#home.service.again(destination, this.#record, problem, this.#record.startedAt));
  }

  // The client.

  onInformational(): void {}
  onHeaders(): void {}

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (this.#over) {
      this.#client.consume(end - start);
      return;
    }
    this.#record.rule?.series?.requestFrame(end - start);
    this.#supervision?.moved();
    if (endStream) this.#requestDone();
    this.#request.data(bytes, start, end, endStream);
  }

  onTrailers(fields: readonly HeaderField[]): void {
    if (this.#over) return;
    this.#requestDone();
    this.#request.trailers((kindsOf(fields) & CUT) === 0 ? fields : without(fields, CUT));
  }

  #requestDone(): void {
    this.#record.requestDone = true;
    this.#record.requestDoneAt = performance.now();
    this.#supervision?.requestDone(this.#record.requestDoneAt);
  }

  onWritable(): void {
    this.#response?.writable();
    if (this.#stopsRequest) this.#stopRequest();
  }

  /** The rest of the request is not wanted (8.1), once the client has the answer. */
  #stopRequest(): void {
    this.#stopsRequest = true;
    if (this.#response?.ended === true) this.#client.reset(errorCode.noError);
  }

  onClose(reset: StreamReset | undefined): void {
    if (this.#over) return;
    if (reset === undefined) {
      this.#over = true;
      return;
    }
    // Before its answer the server can be blamed for nothing.
    if (!this.#whole && this.#status !== 0) this.#record.count(this.#status, false, "CANCEL");
    this.#leave(reset.lost ? errorCode.cancel : reset.code);
    this.#finish("CANCEL");
  }

  // The server.

  onInterim(fields: readonly HeaderField[]): void {
    this.#client.sendHeaders((kindsOf(fields) & CUT) === 0 ? fields : without(fields, CUT), false);
  }

  onResponse(fields: readonly HeaderField[], ended: boolean): void {
    const kinds = kindsOf(fields);
    const destination = this.#record.destination as Destination;
    if ((kinds & NOT_DELIVERED) !== 0 && destination.meshed && this.#resendable) {
      this.#sendElsewhere();
      return;
    }
    const now = performance.now();
    const status = Number(fields[0]?.value);
    if ((kinds & GRPC_STATUS) !== 0) this.#grpcStatus = grpcStatusOf(fields);
    destination.answered(now - this.#record.startedAt, now);
    if (destination.judged) this.#noteRetryAfter(fields);
    const retry = this.#record.rule?.retry;
    if (retry !== undefined) {
      if (retry.retriesOn(status, this.#grpcStatus)) {
        const again = this.#mayRetry();
        if (again !== undefined) {
          this.#tryAgain(again, status);
          return;
        }
      } else if (retry.grpc && !ended && this.#grpcStatus === undefined && this.#resendable) {
        this.#peeked = [...fields];
        return;
      }
    }
    this.#answer(status, kinds, fields, ended);
  }

  /** The client gets this answer, and no other. */
  #answer(status: number, kinds: number, fields: readonly HeaderField[], ended: boolean): void {
    const record = this.#record;
    this.#head = undefined;
    this.#request.release();
    this.#supervision?.answered();
    this.#status = status;
    record.answered = status;
    record.observation?.response(status, () => headerList(fields));
    const cut = this.#downgrade ? CUT : CUT | ORIG_PROTO;
    const passed = (kinds & cut) === 0 ? fields : without(fields, cut);
    const edits = record.rule?.response;
    if (ended) this.#response?.end();
    this.#client.sendHeaders(edits === undefined ? passed : editFields(passed, edits), ended);
    if (ended) this.#complete();
  }

  /** What was held back to see how it ends. */
  #answerPeeked(): void {
    const fields = this.#peeked;
    if (fields === undefined) return;
    this.#peeked = undefined;
    this.#answer(Number(fields[0]?.value), kindsOf(fields), fields, false);
  }

  onResponseData(bytes: Buffer, start: number, end: number, ended: boolean): void {
    if (this.#peeked !== undefined) this.#answerPeeked();
    const { rule } = this.#record;
    this.#bytes += end - start;
    rule?.tries?.responseFrame(end - start);
    rule?.series?.responseFrame(end - start);
    this.#supervision?.moved();
    this.#response?.data(bytes, start, end, ended);
    if (ended) this.#complete();
  }

  onResponseTrailers(fields: readonly HeaderField[]): void {
    const kinds = kindsOf(fields);
    if ((kinds & GRPC_STATUS) !== 0) this.#grpcStatus = grpcStatusOf(fields);
    if (this.#peeked !== undefined) {
      const status = Number(this.#peeked[0]?.value);
      const again = this.#record.rule?.retry?.retriesOn(status, this.#grpcStatus) ? this.#mayRetry() : undefined;
      if (again !== undefined) {
        this.#tryAgain(again, status);
        return;
      }
      this.#answerPeeked();
    }
    this.#response?.trailers((kinds & CUT) === 0 ? fields : without(fields, CUT));
    this.#complete();
  }

  #noteRetryAfter(fields: readonly HeaderField[]): void {
    const field = fields.find(({ name }) => name === "retry-after");
    this.#record.retryAfterMs = parseRetryAfter(field?.value, Date.now());
  }

  /** The server has said all. The request may still be under way. */
  #complete(): void {
    this.#whole = true;
    this.#record.count(this.#status, false, "", this.#grpcStatus);
    this.#supervision?.whole(this.#status);
    this.#record.leave({ responseBytes: this.#bytes, grpcStatus: this.#grpcStatus });
    this.#finish("");
  }

  onServerWritable(): void {
    this.#request.writable();
  }

  onServerClosed(reset: StreamReset | undefined): void {
    this.#upstream = undefined;
    this.#request.detach();
    if (reset === undefined) return;
    if (this.#whole) {
      this.#stopRequest();
      return;
    }
    if (this.#status === 0 && reset.unprocessed && this.#resendable) {
      this.#sendElsewhere();
      return;
    }
    const error: StreamError = reset.lost ? "IO" : reset.code === errorCode.refusedStream ? "REFUSED" : "RESET";
    this.#record.count(this.#status, true, error);
    this.#leave(reset.code);
    if (this.#status === 0 && (reset.lost || reset.code === errorCode.noError)) {
      const what = reset.lost ? "closed the connection" : "ended the request";
      this.#refuse(new Refusal("broken", `the server ${what} before it answered: ${reset.reason}`));
      return;
    }
    // As the server has told it: a client may know what to do about it.
    this.#client.reset(reset.lost || reset.code === errorCode.noError ? errorCode.internalError : reset.code);
    this.#finish(error);
  }

  /** The proxy answers by itself. @param error of the route's metrics, where the refusal's cause does not say it */
  #refuse(refusal: Refusal, error: StreamError = refusal.streamError): void {
    const record = this.#record;
    const { service } = this.#home;
    service.refused(refusal, performance.now() - record.startedAt);
    const fields = refusalFields(refusal, service.audience, record.grpc);
    record.answered = record.grpc ? 200 : refusal.status;
    record.observation?.response(record.answered, () => headerList(fields));
    this.#whole = true;
    this.#client.sendHeaders(fields, true);
    this.#finish(error);
    this.#over = true;
    // Nobody reads what else it says.
    if (!record.requestDone) this.#client.reset(errorCode.noError);
  }

  #finish(error: StreamError): void {
    this.#head = undefined;
    // What is still being obtained comes too late.
    this.#record.number++;
    this.#record.finish(error, this.#grpcStatus);
    this.#supervision?.close();
  }
}
