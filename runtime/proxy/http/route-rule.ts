/**
 * What the rule that a request matched asks of its exchange. Compiled when a policy comes and shared by all requests that match it;
 * what a rule does not ask for is undefined, and costs an exchange one comparison.
 */
import type { Labels } from "../metrics/series.ts";
import type { HeaderList } from "./request-head.ts";

/** Changes to a head. Removed first, then set (all of that name go), then added. Names in lower case. */
export interface HeadEdits {
  readonly remove: readonly string[];
  readonly set: HeaderList;
  readonly add: HeaderList;
  /** Of requests: the new `:authority` or Host. */
  readonly authority?: string;
  /** Of requests: the new path, without query, which stays. */
  readonly path?: (path: string) => string;
}

/** Milliseconds. Reference 9.5; all of them answer 504, gRPC's DEADLINE_EXCEEDED. */
export interface Timeouts {
  /** From the request's head to the response's end, tries included. */
  readonly requestMs?: number;
  /** From the request's end, or the response's head where that comes sooner, to the response's end: of one try. */
  readonly responseMs?: number;
  /** Without a byte in either direction, whatever is waited for. */
  readonly idleMs?: number;
  /** The client's connection ends with the answer: a ServiceProfile's time-out (reference 5.9). */
  readonly closes?: boolean;
}

/** Reference 9.4. */
export interface RetryPolicy {
  /** Beyond the first try. Infinity where only a budget limits them (ServiceProfiles). */
  readonly maxRetries: number;
  /** Larger bodies are not kept, and their request is not sent again. At most 65,536. */
  readonly maxRequestBytes: number;
  /** From the request's end to the response's head, of the first try and of all but the last retry. */
  readonly perTryMs?: number;
  /** Milliseconds before retry `attempt` (from 1), jitter included. */
  backoffMs(attempt: number): number;
  /** Whether a response with this head is to be tried again; `grpcStatus` is undefined while it is not known. */
  retriesOn(status: number, grpcStatus: number | undefined): boolean;
  /** Whether a response without a gRPC status in its head must be looked into to its trailers. */
  readonly grpc: boolean;
  /** Every request on the route, once. */
  deposit(): void;
  /** @returns whether the budget allows a retry, which is counted then */
  withdraw(): boolean;
}

/** What is told in metrics of what is sent to one backend of a route: of each try. */
export interface TrySeries {
  request(): void;
  /** A piece of the body of the response, as it came. */
  responseFrame(bytes: number): void;
  /**
   * @param status 0: none came. @param sinceHeadMs since the request's head. @param sinceEndMs since its end, of a try that of its own
   * @param grpcStatus undefined: not gRPC's, or none. @param error as the label `error`, else empty
   */
  response(
    status: number,
    sinceHeadMs: number,
    sinceEndMs: number,
    grpcStatus: number | undefined,
    error: StreamError,
  ): void;
}

/**
 * The same of a route: reference 7.4's outbound_http_route_* and inbound_http_*, or a ServiceProfile's route_* (7.3). Of each request
 * once, whatever was tried for it: of the response that the client gets.
 */
export interface RouteSeries extends TrySeries {
  /** A piece of a request's body, as it came. */
  requestFrame(bytes: number): void;
  retried(outcome: "retry" | "success" | "limit" | "overflow"): void;
  /** The same of the requests for one host, where series have that label. @param hostname empty: of no name */
  named?(hostname: string): RouteSeries;
}

/** The label `error` (reference 7.4); empty: none. */
export type StreamError =
  | ""
  | "FAIL_FAST"
  | "LOAD_SHED"
  | "REQUEST_TIMEOUT"
  | "RESPONSE_HEADERS_TIMEOUT"
  | "RESPONSE_STREAM_TIMEOUT"
  | "IDLE_TIMEOUT"
  | "CANCEL"
  | "REFUSED"
  | "ENHANCE_YOUR_CALM"
  | "RESET"
  | "GO_AWAY"
  | "IO"
  | "UNKNOWN";

export interface RouteRule {
  /** `route_*` labels, as tap and metrics show them. */
  readonly labels: Labels;
  readonly request: HeadEdits | undefined;
  readonly response: HeadEdits | undefined;
  readonly timeouts: Timeouts | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly series: RouteSeries | undefined;
  readonly tries?: TrySeries | undefined;
  /** Whether a response counts as a failure; undefined: 5xx, and gRPC's codes of failure. */
  readonly isFailure: ((status: number, grpcStatus: number | undefined) => boolean) | undefined;
}

/** Asks for nothing. */
export const NO_RULE: RouteRule = {
  labels: [],
  request: undefined,
  response: undefined,
  timeouts: undefined,
  retry: undefined,
  series: undefined,
  isFailure: undefined,
};
