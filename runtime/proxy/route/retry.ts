/** Retry policies and time-outs, from routes and from ServiceProfiles (reference 5.3, 9.4, 9.5). */
import type { Duration } from "../../api/gen/google/protobuf/duration.ts";
import type { Timeouts as WireTimeouts } from "../../api/gen/io/linkerd/proxy/http_route.ts";
import type { ExponentialBackoff, GrpcRoute_Retry, HttpRoute_Retry } from "../../api/gen/io/linkerd/proxy/outbound.ts";
import { durationMs } from "../control/duration.ts";
import type { RetryPolicy, Timeouts } from "../http/route-rule.ts";
import type { RetryBudget } from "./budget.ts";

const MAX_BYTES = 65_536;

const nothing = (): void => undefined;
const always = (): boolean => true;

/** Responses that are tried again, by HTTP status and gRPC's. */
export type RetryConditions = Pick<RetryPolicy, "retriesOn" | "grpc">;

export function retryPolicy(
  conditions: RetryConditions,
  limits: { maxRetries: number; maxBytes: number; perTryMs: number | undefined },
  backoff: ExponentialBackoff | undefined,
  random = Math.random,
): RetryPolicy {
  return {
    ...conditions,
    maxRetries: limits.maxRetries,
    maxRequestBytes: Math.min(MAX_BYTES, limits.maxBytes),
    ...(limits.perTryMs === undefined ? {} : { perTryMs: limits.perTryMs }),
    backoffMs: compileBackoff(backoff, random),
    deposit: nothing,
    withdraw: always,
  };
}

export function httpRetry(retry: HttpRoute_Retry): RetryPolicy {
  const ranges = retry.conditions?.statusRanges ?? [];
  const retriesOn = (status: number): boolean => ranges.some(({ start, end }) => status >= start && status <= end);
  return retryPolicy({ retriesOn, grpc: false }, limitsOf(retry), retry.backoff);
}

export function grpcRetry(retry: GrpcRoute_Retry): RetryPolicy {
  const { conditions } = retry;
  const codes = new Set<number>();
  if (conditions?.cancelled) codes.add(1);
  if (conditions?.deadineExceeded) codes.add(4);
  if (conditions?.resourceExhausted) codes.add(8);
  if (conditions?.internal) codes.add(13);
  if (conditions?.unavailable) codes.add(14);
  return retryPolicy(grpcConditions(codes), limitsOf(retry), retry.backoff);
}

export function grpcConditions(codes: ReadonlySet<number>): RetryConditions {
  return { grpc: true, retriesOn: (_status, code) => code !== undefined && codes.has(code) };
}

function limitsOf(retry: HttpRoute_Retry | GrpcRoute_Retry): Parameters<typeof retryPolicy>[1] {
  const { maxRetries, maxRequestBytes: maxBytes, timeout } = retry;
  return { maxRetries, maxBytes, perTryMs: durationMs(timeout) };
}

/** A ServiceProfile's: whatever counts as a failure, as often as the budget allows. */
export function profileRetry(budget: RetryBudget, isFailure: RetryPolicy["retriesOn"]): RetryPolicy {
  return {
    maxRetries: Number.POSITIVE_INFINITY,
    maxRequestBytes: MAX_BYTES,
    backoffMs: () => 0,
    retriesOn: isFailure,
    grpc: true,
    deposit: () => budget.deposit(),
    withdraw: () => budget.withdraw(),
  };
}

/** Doubles from the least to the most; jitter adds up to its ratio of it. */
function compileBackoff(backoff: ExponentialBackoff | undefined, random: () => number): (attempt: number) => number {
  if (backoff === undefined) return () => 0;
  const min = durationMs(backoff.minBackoff) ?? 0;
  const max = Math.max(min, durationMs(backoff.maxBackoff) ?? min);
  return (attempt) => Math.min(max, min * 2 ** (attempt - 1)) * (1 + backoff.jitterRatio * random());
}

/** @param deprecated the field that the time-outs came in before; the newer one wins */
export function timeoutsOf(timeouts: WireTimeouts | undefined, deprecated: Duration | undefined): Timeouts | undefined {
  const requestMs = durationMs(timeouts?.request ?? deprecated);
  const responseMs = durationMs(timeouts?.response);
  const idleMs = durationMs(timeouts?.idle);
  if (requestMs === undefined && responseMs === undefined && idleMs === undefined) return undefined;
  return {
    ...(requestMs === undefined ? {} : { requestMs }),
    ...(responseMs === undefined ? {} : { responseMs }),
    ...(idleMs === undefined ? {} : { idleMs }),
  };
}
