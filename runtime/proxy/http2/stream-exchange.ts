/**
 * One request on a client's HTTP/2 connection, to a server and back: decides by its head, relays head, body and trailers both
 * ways as they come, and passes on how either end breaks it off (RFC 9113, 5.1, 8.1). The counterpart of HTTP/1's Downstream
 * and ServerSide.
 */
import type { HeaderField } from "../../wire/hpack/field.ts";
import { errorCode } from "../../wire/http2/protocol.ts";
import type { Http2Stream, StreamHandler, StreamReset } from "../../wire/http2/stream.ts";
import { parsePushback, parseRetryAfter } from "../balance/breaker.ts";
import { CANCEL, ExchangeRecord } from "../http/exchange-record.ts";
import { Refusal } from "../http/failure.ts";
import { RequestCopy } from "../http/request-copy.ts";
import type { RequestHead } from "../http/request-head.ts";
import type { StreamError } from "../http/route-rule.ts";
import type { Destination, HttpService } from "../http/service.ts";
import { MAX_KEPT_BYTES, Tries } from "../http/tries.ts";
import { editFields } from "./edit-fields.ts";
import { CUT, GRPC, GRPC_STATUS, grpcStatusOf, kindsOf, NOT_DELIVERED, ORIG_PROTO, without } from "./field-kinds.ts";
import { Half } from "./half.ts";
import { deadlineTrailers, refusalFields } from "./refusal-fields.ts";
import { Http2RequestView, headerList } from "./request-view.ts";
import { type ResponseSink, ServerLeg } from "./server-leg.ts";
import type { Http2Client, Http2Upstreams, UpstreamStream } from "./upstreams.ts";

const view = new Http2RequestView();

export class StreamExchange extends Tries<Http2Client, ExchangeRecord> implements StreamHandler, ResponseSink {
  readonly #client: Http2Stream;
  readonly #request: Half;
  /** Of the try under way. */
  #response: Half | undefined;
  #upstream: UpstreamStream | undefined;
  /** The head as it is sent on, while it may have to be sent once more. */
  #head: readonly HeaderField[] | undefined;
  /** The request is its head alone. */
  #headOnly = false;
  #downgrade = false;
  /** A head whose gRPC status is to be seen first: a failure is tried again. */
  #peeked: HeaderField[] | undefined;
  #status = 0;
  #bytes = 0;
  /** The client has, or will have, all of its answer. */
  #whole = false;
  #stopsRequest = false;
  #over = false;
  /** The request, where it may make a tunnel that somebody keeps an eye on. */
  #asked: RequestHead | undefined;
  #endOfTunnel: (() => void) | undefined;

  constructor(service: HttpService, client: Http2Stream) {
    super(service, new ExchangeRecord());
    this.#client = client;
    this.#request = new Half(client);
  }

  /** @param fields valid during the call only. @param added to every request */
  begin(fields: readonly HeaderField[], ended: boolean, added: readonly HeaderField[]): void {
    const { service, record } = this;
    const kinds = kindsOf(fields);
    record.begin((kinds & GRPC) !== 0);
    record.requestDone = ended;
    this.#headOnly = ended;
    if (service.prepare === undefined || !this.#postpones(fields, kinds, added)) this.#decide(fields, kinds, added);
  }

  /** Whether the request is decided on when more is known of where it may go. */
  #postpones(fields: readonly HeaderField[], kinds: number, added: readonly HeaderField[]): boolean {
    const { number } = this.record;
    const known = this.service.prepare?.(view.view(fields, kinds));
    if (known === undefined) return false;
    const kept = [...fields];
    const goOn = (): void => {
      if (number === this.record.number && !this.#postpones(kept, kinds, added)) this.#decide(kept, kinds, added);
    };
    known.then(goOn, goOn);
    return true;
  }

  #decide(fields: readonly HeaderField[], kinds: number, added: readonly HeaderField[]): void {
    const { service, record } = this;
    const request = view.view(fields, kinds);
    this.#downgrade = (kinds & ORIG_PROTO) !== 0 && service.audience.meshed;
    if (service.observed) record.observation = service.observe(request);
    if (service.tunnelled !== undefined && request.method === "CONNECT") this.#asked = new RequestCopy(request);
    const choice = service.choose(request, record, record.startedAt);
    const { rule } = record;
    rule?.series?.request();
    if (choice instanceof Refusal) {
      this.refuse(choice);
      return;
    }
    const cut = this.#downgrade ? CUT : CUT | ORIG_PROTO;
    const { edits } = record;
    let head = (kinds & cut) === 0 ? fields : without(fields, cut);
    if (edits !== undefined) head = editFields(head, edits);
    // A copy in any case: `fields` is used again.
    this.#head = head.concat(added);
    if (!this.#headOnly) this.#request.keep(rule?.retry?.maxRequestBytes ?? MAX_KEPT_BYTES);
    if (rule !== undefined && (rule.retry ?? rule.timeouts) !== undefined) this.supervise(rule);
    const client = choice instanceof Promise ? undefined : this.connections(choice).take();
    if (client === undefined) this.startObtaining(choice);
    else {
      const destination = choice as Destination;
      destination.started();
      if (!this.engage(destination, client)) {
        destination.ended();
        this.startObtaining(choice);
      }
    }
  }

  protected connections(destination: Destination): Http2Upstreams {
    return destination.http2(this.#downgrade);
  }

  protected engage(destination: Destination, client: Http2Client): boolean {
    this.trying();
    const upstream = client.request(this.#head as readonly HeaderField[], this.#headOnly, new ServerLeg(this));
    if (upstream === undefined) return false;
    this.#upstream = upstream;
    this.record.sent(destination);
    this.supervision?.sent(performance.now());
    this.#response = new Half(upstream);
    this.#response.attach(this.#client, false);
    this.#request.attach(upstream, this.#headOnly);
    return true;
  }

  /** Others use it as well. */
  protected unwanted(): void {}

  protected get resendable(): boolean {
    return this.#head !== undefined && (this.#headOnly || this.#request.kept);
  }

  protected get answerStatus(): number {
    return this.#status;
  }

  protected breakOff(error: StreamError): void {
    if (this.record.grpc && error.endsWith("_TIMEOUT")) this.#endCall();
    else this.#client.reset(errorCode.cancel);
    this.#finish(error);
  }

  /** A call whose answer has begun ends in trailers when its time is up, as Linkerd has it: gRPC's clients look for a status. */
  #endCall(): void {
    this.#response?.detach();
    this.#client.sendHeaders(deadlineTrailers(), true);
    this.#over = true;
    if (!this.record.requestDone) this.#client.reset(errorCode.noError);
  }

  protected leave(code: number): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    this.#peeked = undefined;
    this.#request.detach();
    upstream?.reset(code);
    this.record.leave({ responseBytes: this.#bytes, grpcStatus: this.grpcStatus, reset: code });
    this.grpcStatus = undefined;
  }

  // The client.

  onInformational(): void {}
  onHeaders(): void {}

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (this.#over) {
      this.#client.consume(end - start);
      return;
    }
    this.record.rule?.series?.requestFrame(end - start);
    this.supervision?.moved();
    if (endStream) this.#requestDone();
    this.#request.data(bytes, start, end, endStream);
  }

  onTrailers(fields: readonly HeaderField[]): void {
    if (this.#over) return;
    this.#requestDone();
    this.#request.trailers((kindsOf(fields) & CUT) === 0 ? fields : without(fields, CUT));
  }

  #requestDone(): void {
    this.record.requestDone = true;
    this.record.requestDoneAt = performance.now();
    this.supervision?.requestDone(this.record.requestDoneAt);
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
    if (!this.#whole && this.#status !== 0) this.record.count(this.#status, false, "CANCEL");
    this.leave(reset.lost ? errorCode.cancel : reset.code);
    this.#finish("CANCEL");
  }

  // The server.

  onInterim(fields: readonly HeaderField[]): void {
    if (!this.allowsInterim()) return;
    this.#client.sendHeaders((kindsOf(fields) & CUT) === 0 ? fields : without(fields, CUT), false);
  }

  onResponse(fields: readonly HeaderField[], ended: boolean): void {
    const kinds = kindsOf(fields);
    const destination = this.record.destination as Destination;
    if ((kinds & NOT_DELIVERED) !== 0 && destination.meshed && this.resendable) {
      this.sendElsewhere();
      return;
    }
    const now = performance.now();
    const status = Number(fields[0]?.value);
    if ((kinds & GRPC_STATUS) !== 0) this.grpcStatus = grpcStatusOf(fields);
    destination.answered(now - this.record.startedAt, now);
    if (destination.judged) this.#noteRetryAfter(fields);
    const retry = this.record.rule?.retry;
    if (retry !== undefined) {
      if (retry.retriesOn(status, this.grpcStatus)) {
        const again = this.mayRetry();
        if (again !== undefined) {
          this.tryAgain(again, status);
          return;
        }
      } else if (retry.grpc && !ended && this.grpcStatus === undefined && this.resendable) {
        this.#peeked = [...fields];
        return;
      }
    }
    this.#answer(status, kinds, fields, ended);
  }

  /** The client gets this answer, and no other. */
  #answer(status: number, kinds: number, fields: readonly HeaderField[], ended: boolean): void {
    const { record } = this;
    this.#head = undefined;
    this.#request.release();
    this.supervision?.answered();
    this.#status = status;
    record.answered = status;
    record.observation?.response(status, () => headerList(fields));
    const cut = this.#downgrade ? CUT : CUT | ORIG_PROTO;
    const passed = (kinds & cut) === 0 ? fields : without(fields, cut);
    const edits = record.rule?.response;
    if (ended) this.#response?.end();
    this.#client.sendHeaders(edits === undefined ? passed : editFields(passed, edits), ended);
    if (ended) this.#complete();
    else if (this.#asked !== undefined && status < 300) this.#tunnel(this.#asked);
  }

  /** Granted CONNECT (RFC 9113, 8.5). */
  #tunnel(asked: RequestHead): void {
    this.#endOfTunnel = this.service.tunnelled?.(asked, () => {
      this.record.count(this.#status, false, "CANCEL");
      this.leave(CANCEL);
      this.breakOff("CANCEL");
    });
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
    const { rule } = this.record;
    this.#bytes += end - start;
    rule?.tries?.responseFrame(end - start);
    rule?.series?.responseFrame(end - start);
    this.supervision?.moved();
    this.#response?.data(bytes, start, end, ended);
    if (ended) this.#complete();
  }

  onResponseTrailers(fields: readonly HeaderField[]): void {
    const kinds = kindsOf(fields);
    if ((kinds & GRPC_STATUS) !== 0) this.grpcStatus = grpcStatusOf(fields);
    if (this.record.destination?.judged === true) this.#noteRetryAfter(fields);
    if (this.#peeked !== undefined) {
      const status = Number(this.#peeked[0]?.value);
      const again = this.record.rule?.retry?.retriesOn(status, this.grpcStatus) ? this.mayRetry() : undefined;
      if (again !== undefined) {
        this.tryAgain(again, status);
        return;
      }
      this.#answerPeeked();
    }
    this.#response?.trailers((kinds & CUT) === 0 ? fields : without(fields, CUT));
    this.#complete();
  }

  #noteRetryAfter(fields: readonly HeaderField[]): void {
    for (const { name, value } of fields) {
      if (name === "retry-after") this.record.retryAfterMs = parseRetryAfter(value, Date.now());
      else if (name === "grpc-retry-pushback-ms") this.record.retryAfterMs = parsePushback(value);
    }
  }

  /** The server has said all. The request may still be under way. */
  #complete(): void {
    this.#whole = true;
    this.record.count(this.#status, false, "", this.grpcStatus);
    this.supervision?.whole(this.#status);
    this.record.leave({ responseBytes: this.#bytes, grpcStatus: this.grpcStatus });
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
    if (this.#status === 0 && reset.unprocessed && this.resendable) {
      if (reset.lost) this.sendElsewhere();
      else this.sendAgain();
      return;
    }
    const error: StreamError = reset.lost ? "IO" : reset.code === errorCode.refusedStream ? "REFUSED" : "RESET";
    this.record.count(this.#status, true, error);
    this.leave(reset.code);
    if (this.#status === 0 && (reset.lost || reset.code === errorCode.noError)) {
      const what = reset.lost ? "closed the connection" : "ended the request";
      this.refuse(new Refusal("broken", `the server ${what} before it answered: ${reset.reason}`));
      return;
    }
    // As the server has told it: a client may know what to do about it.
    this.#client.reset(reset.lost || reset.code === errorCode.noError ? errorCode.internalError : reset.code);
    this.#finish(error);
  }

  protected refuse(refusal: Refusal, error: StreamError = refusal.streamError): void {
    const { record, service } = this;
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
    this.#endOfTunnel?.();
    this.#head = undefined;
    // What is still being obtained comes too late.
    this.record.number++;
    this.record.finish(error, this.grpcStatus);
    this.supervision?.close();
  }
}
