/** One request and its answer as all who count or watch are told of it, whichever protocol carries it. Used again for the next. */
import { mergeEdits } from "../route/head-edits.ts";
import { isFailureByDefault } from "../route/profile.ts";
import type { ExchangeEnd, Observation } from "./observer.ts";
import type { HeadEdits, RouteRule, StreamError } from "./route-rule.ts";
import type { Destination, Routing } from "./service.ts";

const BAD_GATEWAY = 502;
const GATEWAY_TIMEOUT = 504;

/** HTTP/2 error codes (RFC 9113, 7), as tap reports exchanges that were broken off. */
export const INTERNAL_ERROR = 2;
export const CANCEL = 8;

export class ExchangeRecord implements Routing {
  /** Of this exchange: what comes too late for it finds another number. */
  number = 0;
  /** Monotonic time of the request's head. */
  startedAt = 0;
  requestDone = true;
  /** Monotonic time of the request's end; 0: it came with its head. */
  requestDoneAt = 0;
  grpc = false;
  rule: RouteRule | undefined;
  backend: unknown;
  /** Of the answer's Retry-After, where somebody wants to know. */
  retryAfterMs: number | undefined;
  destination: Destination | undefined;
  observation: Observation | undefined;
  /** Of the client's answer, a server's or the proxy's own; 0: none. */
  answered = 0;
  /** Monotonic time at which the try under way began. */
  #triedAt = 0;
  /** Monotonic time at which the last try was over; 0: none was. */
  #leftAt = 0;
  #over = true;

  /** The client has its answer, or there was no request yet. */
  get over(): boolean {
    return this.#over;
  }

  /** A request's head is here. */
  begin(grpc: boolean): void {
    this.number++;
    this.startedAt = performance.now();
    this.grpc = grpc;
    this.requestDoneAt = 0;
    this.rule = undefined;
    this.answered = 0;
    this.#leftAt = 0;
    this.#over = false;
  }

  /** What is changed of the request's head as it is sent on. */
  get edits(): HeadEdits | undefined {
    return this.observation === undefined ? this.rule?.request : mergeEdits(this.rule?.request, this.observation.edits);
  }

  /** The request is about to be sent. */
  sent(destination: Destination): void {
    this.destination = destination;
    destination.series.request();
    const tries = this.rule?.tries;
    if (tries !== undefined) {
      this.#triedAt = performance.now();
      tries.request();
    }
    this.observation?.sent(destination.observed, this.rule);
  }

  /**
   * A try is over. @param status 0 where there was no answer. @param broken it was not whole, whatever its status
   * @param grpcStatus undefined: not gRPC's, or none
   */
  count(status: number, broken: boolean, error: StreamError = "", grpcStatus?: number): void {
    const { destination, rule } = this;
    if (destination === undefined) return;
    const told = status || (error.endsWith("_TIMEOUT") ? GATEWAY_TIMEOUT : BAD_GATEWAY);
    const failure = broken || (rule?.isFailure ?? isFailureByDefault)(told, grpcStatus);
    const now = performance.now();
    this.#leftAt = now;
    destination.series.response(told, now - this.startedAt, failure, grpcStatus, error);
    rule?.tries?.response(
      status,
      now - this.startedAt,
      now - Math.max(this.#triedAt, this.requestDoneAt),
      grpcStatus,
      error,
    );
    if (!destination.judged) return;
    destination.outcome?.({ status, grpcStatus, failure, retryAfterMs: this.retryAfterMs }, now);
    this.retryAfterMs = undefined;
  }

  /** It has no more to do with its destination. */
  leave(end: ExchangeEnd): void {
    if (this.destination === undefined) return;
    this.destination.ended();
    this.destination = undefined;
    this.observation?.left(end);
  }

  /** The client has its answer, or will get none. @param error of the route's metrics, where something went wrong */
  finish(error: StreamError, grpcStatus?: number): void {
    if (this.#over) return;
    this.#over = true;
    const { observation } = this;
    const series = this.rule?.series;
    if (series !== undefined) {
      const now = this.#leftAt || performance.now();
      const status = error === "" || error === "CANCEL" ? this.answered : 0;
      series.response(
        status,
        now - this.startedAt,
        now - Math.max(this.startedAt, this.requestDoneAt),
        grpcStatus,
        error,
      );
    }
    if (observation === undefined) return;
    this.observation = undefined;
    observation.ended(this.answered);
  }
}
