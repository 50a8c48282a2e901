/** A ServiceProfile's routes (reference 5.1, 5.2), compiled to entries of a {@link RouteTable}: first match wins. */
import type {
  DestinationProfile,
  RequestMatch,
  ResponseClass,
  ResponseMatch,
  Route as WireRoute,
} from "../../api/gen/io/linkerd/proxy/destination.ts";
import { durationMs } from "../control/duration.ts";
import type { RetryPolicy, RouteRule } from "../http/route-rule.ts";
import { ProfileRouteSeries, ProfileTrySeries } from "../metrics/route-series.ts";
import type { ProxyMetrics } from "../metrics/series.ts";
import { DEFAULT_BUDGET, RetryBudget } from "./budget.ts";
import { compileMethod, compileRegex, type RequestTest } from "./match.ts";
import { profileRetry } from "./retry.ts";
import type { RouteChoice, RouteEntry } from "./table.ts";

type WeightedBackend<B> = Pick<RouteChoice<B>, "backend" | "weight">;

/** Whether the profile decides on routing, and no policy does. */
export function routesByProfile({ routes, dstOverrides }: DestinationProfile): boolean {
  return routes.length > 0 || dstOverrides.length > 0;
}

/** @param authority of the service, `name:port`: told to the peer, and the label `dst`. @param metrics where routes tell of their requests */
export function compileProfile<B>(
  profile: DestinationProfile,
  authority: string,
  backends: readonly WeightedBackend<B>[],
  metrics?: ProxyMetrics,
): RouteEntry<B>[] {
  const budget = new RetryBudget(budgetOf(profile));
  const entry = (rule: RouteRule, test: RequestTest, order: number): RouteEntry<B> => ({
    match: { test, rank: [-order], everything: false },
    route: {
      refuse: undefined,
      choices: backends.map((backend) => ({ ...backend, rule, refuse: undefined })),
      weighted: true,
      overridable: false,
    },
  });
  const entries = profile.routes.map((route, index) =>
    entry(told(profileRule(route, authority, budget), metrics), compileRequestMatch(route.condition), index),
  );
  const rest = told({ ...unruled(authority), labels: [["dst", authority]] }, metrics);
  return [...entries, entry(rest, () => true, entries.length)];
}

function told(rule: RouteRule, metrics: ProxyMetrics | undefined): RouteRule {
  if (metrics === undefined) return rule;
  const isFailure = rule.isFailure ?? isFailureByDefault;
  return {
    ...rule,
    series: new ProfileRouteSeries(metrics, rule.labels, isFailure),
    tries: new ProfileTrySeries(metrics, rule.labels, isFailure),
  };
}

function budgetOf({ retryBudget }: DestinationProfile): typeof DEFAULT_BUDGET {
  if (retryBudget === undefined) return DEFAULT_BUDGET;
  const { retryRatio, minRetriesPerSecond } = retryBudget;
  const ttlMs = durationMs(retryBudget.ttl) ?? DEFAULT_BUDGET.ttlMs;
  return {
    ratio: Math.min(1_000, Math.max(0, retryRatio)),
    minPerSecond: minRetriesPerSecond,
    ttlMs: Math.min(60_000, Math.max(1_000, ttlMs)),
  };
}

/** The peer finds its own profile by the canonical name (reference 5.8). */
function unruled(authority: string): Omit<RouteRule, "labels"> {
  return {
    request: { remove: [], set: [["l5d-dst-canonical", authority]], add: [] },
    response: undefined,
    timeouts: undefined,
    retry: undefined,
    series: undefined,
    isFailure: undefined,
  };
}

function profileRule(route: WireRoute, authority: string, budget: RetryBudget): RouteRule {
  const requestMs = durationMs(route.timeout);
  const isFailure = compileResponseClasses(route.responseClasses);
  return {
    ...unruled(authority),
    labels: [
      ["dst", authority],
      ...Object.entries(route.metricsLabels)
        .map(([name, value]) => [`rt_${name}`, value] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    ],
    timeouts: requestMs === undefined || requestMs === 0 ? undefined : { requestMs, closes: true },
    retry: route.isRetryable ? profileRetry(budget, isFailure ?? isFailureByDefault) : undefined,
    isFailure,
  };
}

const GRPC_FAILURES = new Set([2, 4, 7, 13, 14, 15]);

/** Reference 7.3. */
export function isFailureByDefault(status: number, grpcStatus: number | undefined): boolean {
  return status >= 500 || (grpcStatus !== undefined && GRPC_FAILURES.has(grpcStatus));
}

function compileRequestMatch(wire: RequestMatch | undefined): RequestTest {
  const match = wire?.match;
  switch (match?.$case) {
    case "all": {
      const tests = match.value.matches.map(compileRequestMatch);
      return (head) => tests.every((test) => test(head));
    }
    case "any": {
      const tests = match.value.matches.map(compileRequestMatch);
      return (head) => tests.some((test) => test(head));
    }
    case "not": {
      const test = compileRequestMatch(match.value);
      return (head) => !test(head);
    }
    case "path": {
      const regex = compileRegex(match.value.regex);
      return ({ path }) => regex?.test(path) === true;
    }
    case "method":
      return compileMethod(match.value) ?? (() => true);
    default:
      return () => true;
  }
}

/** The first class that a response belongs to decides; undefined where there are none. */
function compileResponseClasses(classes: readonly ResponseClass[]): RetryPolicy["retriesOn"] | undefined {
  if (classes.length === 0) return undefined;
  const tests = classes.map(({ condition, isFailure }) => ({ test: compileResponseMatch(condition), isFailure }));
  return (status, grpcStatus) => {
    const found = tests.find(({ test }) => test(status));
    return found === undefined ? isFailureByDefault(status, grpcStatus) : found.isFailure;
  };
}

function compileResponseMatch(wire: ResponseMatch | undefined): (status: number) => boolean {
  const match = wire?.match;
  switch (match?.$case) {
    case "all": {
      const tests = match.value.matches.map(compileResponseMatch);
      return (status) => tests.every((test) => test(status));
    }
    case "any": {
      const tests = match.value.matches.map(compileResponseMatch);
      return (status) => tests.some((test) => test(status));
    }
    case "not": {
      const test = compileResponseMatch(match.value);
      return (status) => !test(status);
    }
    case "status": {
      const { min, max } = match.value;
      return (status) => status >= min && status <= (max === 0 ? 599 : max);
    }
    default:
      return () => true;
  }
}
