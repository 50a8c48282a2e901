/**
 * How one exchange after another gets to a server, whichever protocol carries it: by which destination and connection, over as many
 * tries as its route allows, and within its time-outs (reference 9.4, 9.5). What a try is made of is its protocol's matter.
 */
import { CANCEL, type ExchangeRecord } from "./exchange-record.ts";
import { Refusal } from "./failure.ts";
import type { RetryPolicy, RouteRule, StreamError } from "./route-rule.ts";
import type { Choice, Destination, HttpService } from "./service.ts";
import { type Due, Supervision, TIMEOUT_ERRORS } from "./supervision.ts";

/** What a request may have sent and still be sent elsewhere, bytes, unless its route keeps less (reference 9.4). */
export const MAX_KEPT_BYTES = 65_536;
/** Connections of one server that ended without having looked at the request, until another server is asked. */
const MAX_UNPROCESSED = 3;
/** Connections that had room when they were asked for, and then had none. */
const MAX_FULL = 3;

/** Answers with a status below 200 to one try: they have no flow control, and a server could send them for ever. */
const MAX_INTERIM = 100;

/** Connections to one destination. */
interface Connections<C> {
  /** One that is free now, if there is one. */
  take(): C | undefined;
  /** Rejects with ConnectError or PeerIdentityError: nothing was sent then. */
  connect(): Promise<C>;
}

export abstract class Tries<C, R extends ExchangeRecord> {
  protected readonly service: HttpService;
  protected readonly record: R;
  /** Made with the first request whose route has time-outs or retries. */
  protected supervision: Supervision | undefined;
  /** Of the try under way. */
  protected grpcStatus: number | undefined;
  /** How often a server has refused the exchange of that number unseen. */
  #unprocessed = 0;
  #unprocessedOf = 0;

  /** Interim answers to the try under way. */
  #interims = 0;

  constructor(service: HttpService, record: R) {
    this.service = service;
    this.record = record;
  }

  /** Whether the request can be sent once more: nothing of an answer was passed on, all of it is here. */
  protected abstract get resendable(): boolean;
  /** Of the answer that the client has begun to get; 0: none. */
  protected abstract get answerStatus(): number;
  protected abstract connections(destination: Destination): Connections<C>;
  /** Sends what there is of the request. @returns false where the connection takes no more */
  protected abstract engage(destination: Destination, connection: C): boolean;
  /** A connection has come for which it is too late. */
  protected abstract unwanted(connection: C): void;
  /** The try under way is broken off. @param code of HTTP/2 */
  protected abstract leave(code: number): void;
  /** The proxy answers by itself. @param error of the route's metrics, where the refusal's cause does not say it */
  protected abstract refuse(refusal: Refusal, error?: StreamError): void;
  /** What the client has got of its answer must not pass for the whole. */
  protected abstract breakOff(error: StreamError): void;

  /** A try's head is about to be sent. */
  protected trying(): void {
    this.#interims = 0;
  }

  /** One more interim answer. @returns whether it may be passed on: else the exchange has ended */
  protected allowsInterim(): boolean {
    if (++this.#interims <= MAX_INTERIM) return true;
    this.record.count(0, true, "UNKNOWN");
    this.leave(CANCEL);
    this.refuse(new Refusal("bad-answer", `the server sent more than ${MAX_INTERIM} interim answers`));
    return false;
  }

  protected startObtaining(choice: Choice | Promise<Choice>): void {
    const { number } = this.record;
    this.#obtain(choice).catch((error: unknown) => {
      if (number === this.record.number) this.refuse(new Refusal("unexpected", `the proxy failed: ${String(error)}`));
    });
  }

  /** Waits for a destination and a connection with room, over as many as it takes. */
  async #obtain(first: Choice | Promise<Choice>): Promise<void> {
    const { record } = this;
    const { number } = record;
    let full = 0;
    let choice = first instanceof Promise ? await first : first;
    while (number === record.number) {
      if (choice instanceof Refusal) {
        const retry = choice.cause === "failfast" ? this.mayRetry() : undefined;
        if (retry === undefined) this.refuse(choice);
        else this.tryAgain(retry, choice.status);
        return;
      }
      const destination = choice;
      destination.started();
      try {
        const connections = this.connections(destination);
        const connection = connections.take() ?? (await connections.connect());
        if (number !== record.number) this.unwanted(connection);
        else if (this.engage(destination, connection)) return;
        destination.ended();
        if (number === record.number && ++full === MAX_FULL) {
          this.refuse(new Refusal("load-shed", "the server takes no more requests at once"));
        }
      } catch (error) {
        destination.ended();
        choice = await this.service.again(destination, record, error as Error, record.startedAt);
      }
    }
  }

  protected supervise(rule: RouteRule): void {
    const { startedAt, requestDone } = this.record;
    this.supervision ??= new Supervision((due) => this.#onDue(due));
    this.supervision.begin(rule, startedAt);
    if (requestDone) this.supervision.requestDone(startedAt);
  }

  #onDue(due: Due): void {
    if (due === "retry") {
      this.startObtaining(this.service.retry?.(this.record) ?? new Refusal("unexpected", "there is no other try"));
      return;
    }
    const retry = due === "try" ? this.mayRetry() : undefined;
    if (retry === undefined) this.#timeOut(due);
    else this.tryAgain(retry, 0, TIMEOUT_ERRORS[due]);
  }

  #timeOut(due: Due): void {
    const error = TIMEOUT_ERRORS[due];
    const status = this.answerStatus;
    this.record.count(status, true, error);
    this.leave(CANCEL);
    if (status !== 0) {
      this.breakOff(error);
      return;
    }
    const what = due === "try" ? "the response's head" : due;
    const close = this.record.rule?.timeouts?.closes ?? false;
    this.refuse(new Refusal("timeout", `time-out of the route: ${what}`, { close }), error);
  }

  protected mayRetry(): RetryPolicy | undefined {
    return this.resendable ? this.supervision?.mayRetry() : undefined;
  }

  /** What came so far is not passed on: the request is sent once more, after a while. @param status what the try came to */
  protected tryAgain(retry: RetryPolicy, status: number, error: StreamError = ""): void {
    this.record.count(status, error !== "", error, this.grpcStatus);
    this.leave(CANCEL);
    this.record.number++;
    this.supervision?.backOff(retry);
  }

  /**
   * The server lives, and has not looked at the request (RFC 9113, 6.8 and 8.7): it goes on another connection of the same server. That
   * a server ends connections, as nginx does after a thousand requests, is no reason to leave it alone for a while.
   */
  protected sendAgain(): void {
    const { record } = this;
    if (this.#unprocessedOf !== record.number) this.#unprocessed = 0;
    this.#unprocessedOf = record.number;
    if (++this.#unprocessed > MAX_UNPROCESSED) {
      this.sendElsewhere();
      return;
    }
    const destination = record.destination as Destination;
    record.count(0, true, "REFUSED");
    this.leave(CANCEL);
    this.startObtaining(destination);
  }

  /** Nothing of the request reached an application: another endpoint may take it. */
  protected sendElsewhere(): void {
    const { record } = this;
    const destination = record.destination as Destination;
    record.count(0, true, "REFUSED");
    this.leave(CANCEL);
    const problem = new Error("the peer could not pass the request on to its application");
    this.startObtaining(this.service.again(destination, record, problem, record.startedAt));
  }
}
