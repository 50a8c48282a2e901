/** What a request's own l5d-… headers ask for (reference 5.8). Time-outs and retries: only where its route allows it. */
import type { RequestHead } from "../http/request-head.ts";
import type { HeadEdits, RetryPolicy, RouteRule, Timeouts } from "../http/route-rule.ts";
import { mergeEdits } from "./head-edits.ts";
import { grpcConditions, type RetryConditions, retryPolicy } from "./retry.ts";

export interface OwnWishes {
  /** The server must be this. */
  readonly requiredIdentity: string | undefined;
  /** The rule as the request would have it. */
  apply(rule: RouteRule): RouteRule;
}

const OVERRIDES = [
  "l5d-request-timeout",
  "l5d-timeout",
  "l5d-response-timeout",
  "l5d-retry-http",
  "l5d-retry-grpc",
  "l5d-retry-limit",
  "l5d-retry-timeout",
] as const;

/** @param overridable the route allows time-outs and retries of the request's own. undefined: it asks for nothing */
export function ownWishes(request: RequestHead, overridable: boolean): OwnWishes | undefined {
  const requiredIdentity = request.directed === false ? undefined : request.header("l5d-require-id");
  const fields = overridable ? OVERRIDES.filter((name) => request.header(name) !== undefined) : [];
  if (requiredIdentity === undefined && fields.length === 0) return undefined;
  const edits: HeadEdits = { remove: ["l5d-require-id", ...fields], set: [], add: [] };
  const timeouts = ownTimeouts(request, fields);
  const retry = ownRetry(request, fields);
  return {
    requiredIdentity,
    apply: (rule) => ({
      ...rule,
      request: mergeEdits(rule.request, edits),
      timeouts: timeouts === undefined ? rule.timeouts : { ...rule.timeouts, ...timeouts },
      retry: retry === undefined ? rule.retry : retry(rule.retry),
    }),
  };
}

function ownTimeouts(request: RequestHead, fields: readonly string[]): Timeouts | undefined {
  if (fields.length === 0) return undefined;
  const requestMs = milliseconds(request.header("l5d-request-timeout")) ?? milliseconds(request.header("l5d-timeout"));
  const responseMs = milliseconds(request.header("l5d-response-timeout"));
  return {
    ...(requestMs === undefined ? {} : { requestMs }),
    ...(responseMs === undefined ? {} : { responseMs }),
  };
}

const GRPC_CODES: Readonly<Record<string, number>> = {
  cancelled: 1,
  "deadline-exceeded": 4,
  "resource-exhausted": 8,
  internal: 13,
  unavailable: 14,
};
const MAX_BYTES = 65_536;
/** Linkerd's, between 25 and 250 ms (reference 5.3). */
const BACKOFF = {
  minBackoff: { seconds: 0n, nanos: 25_000_000 },
  maxBackoff: { seconds: 0n, nanos: 250_000_000 },
  jitterRatio: 1,
  respectRetryAfterHint: false,
};

/** What the request asks for, over what its route's policy has: each field for itself, the policy's stays where it asks for nothing. */
function ownRetry(
  request: RequestHead,
  fields: readonly string[],
): ((base: RetryPolicy | undefined) => RetryPolicy) | undefined {
  if (!fields.some((name) => name.startsWith("l5d-retry-"))) return undefined;
  const ranges = statusRanges(request.header("l5d-retry-http"));
  const codes = codesOf(request.header("l5d-retry-grpc"));
  const limit = /^\d+$/.exec(request.header("l5d-retry-limit") ?? "")?.[0];
  const perTryMs = milliseconds(request.header("l5d-retry-timeout"));
  return (base) => {
    const own = base ?? retryPolicy(NEVER, { maxRetries: 1, maxBytes: MAX_BYTES, perTryMs: undefined }, BACKOFF);
    // A policy speaks of HTTP's statuses or of gRPC's: what it says of the one stays beside what the request says of the other.
    const byCode = codes === undefined ? (own.grpc ? own.retriesOn : undefined) : grpcConditions(codes).retriesOn;
    const byStatus = ranges === undefined ? (own.grpc ? undefined : own.retriesOn) : withinOneOf(ranges);
    return {
      ...own,
      ...(perTryMs === undefined ? {} : { perTryMs }),
      maxRetries: limit === undefined ? own.maxRetries : Number(limit),
      grpc: byCode !== undefined,
      retriesOn: (status, code) => byCode?.(status, code) === true || byStatus?.(status, code) === true,
    };
  };
}

const NEVER: RetryConditions = { grpc: false, retriesOn: () => false };

function codesOf(list: string | undefined): ReadonlySet<number> | undefined {
  return list === undefined ? undefined : new Set(words(list).map((word) => GRPC_CODES[word] ?? -1));
}

type Ranges = readonly (readonly [from: number, to: number])[];

function withinOneOf(ranges: Ranges): RetryPolicy["retriesOn"] {
  return (status) => ranges.some(([from, to]) => status >= from && status <= to);
}

function words(list: string): string[] {
  return list.split(",").flatMap((word) => (word.trim() === "" ? [] : [word.trim().toLowerCase()]));
}

/** `5xx`, `gateway-error`, codes and ranges (reference 6.3). */
function statusRanges(list: string | undefined): Ranges | undefined {
  if (list === undefined) return undefined;
  return words(list).flatMap((word): [number, number][] => {
    if (word === "5xx") return [[500, 599]];
    if (word === "gateway-error") return [[502, 504]];
    const match = /^(\d{3})(?:-(\d{3}))?$/.exec(word);
    return match === null ? [] : [[Number(match[1]), Number(match[2] ?? match[1])]];
  });
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** An integer and its unit; a bare 0 too. Anything else is not obeyed. */
function milliseconds(text: string | undefined): number | undefined {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(text ?? "");
  if (match === null) return text === "0" ? 0 : undefined;
  return Number(match[1]) * (UNITS[match[2] as string] as number);
}
