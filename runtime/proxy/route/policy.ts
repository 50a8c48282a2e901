/** An OutboundPolicy's routes of HTTP and gRPC (reference 5.1, 5.3), compiled to entries of a {@link RouteTable}. */
import type { GrpcRouteMatch } from "../../api/gen/io/linkerd/proxy/grpc_route.ts";
import type { HttpRouteMatch } from "../../api/gen/io/linkerd/proxy/http_route.ts";
import type {
  GrpcRoute,
  GrpcRoute_Rule,
  HttpRoute,
  HttpRoute_Filter,
  HttpRoute_Rule,
  Backend as WireBackend,
} from "../../api/gen/io/linkerd/proxy/outbound.ts";
import type { RouteRule } from "../http/route-rule.ts";
import { PolicyBackendSeries, PolicyRouteSeries, type RouteKind } from "../metrics/route-series.ts";
import type { Labels, ProxyMetrics } from "../metrics/series.ts";
import { compileFilters } from "./filters.ts";
import { mergeEdits } from "./head-edits.ts";
import { referenceLabels, routeLabels } from "./labels.ts";
import { type CompiledMatch, compileGrpcMatch, compileHttpMatch } from "./match.ts";
import { grpcRetry, httpRetry, timeoutsOf } from "./retry.ts";
import type { Route, RouteChoice, RouteEntry } from "./table.ts";

/** What becomes of a backend that a message names. */
export type BackendOf<B> = (backend: WireBackend | undefined) => B;

/** Where routes tell of their requests. */
export interface RouteTelling {
  readonly metrics: ProxyMetrics;
  /** `parent_*`. */
  readonly parent: Labels;
}

/** @param telling undefined: nowhere */
export function compileHttpRoutes<B>(
  routes: readonly HttpRoute[],
  backendOf: BackendOf<B>,
  telling?: RouteTelling,
): RouteEntry<B>[] {
  return routes.flatMap(({ metadata, hosts, rules }) =>
    rules.flatMap((rule) => {
      const retry = rule.retry === undefined ? undefined : httpRetry(rule.retry);
      const route = toldOf("http", routeLabels(metadata), telling);
      return perMatch<HttpRouteMatch, B>(
        rule.matches,
        EVERY_REQUEST,
        (match) => compileHttpMatch(match, hosts),
        hasPrefixes(rule),
        (match) => compileRule(rule, route, retry, prefixOf(match), backendOf),
      );
    }),
  );
}

export function compileGrpcRoutes<B>(
  routes: readonly GrpcRoute[],
  backendOf: BackendOf<B>,
  telling?: RouteTelling,
): RouteEntry<B>[] {
  return routes.flatMap(({ metadata, hosts, rules }) =>
    rules.flatMap((rule) => {
      const retry = rule.retry === undefined ? undefined : grpcRetry(rule.retry);
      const route = toldOf("grpc", routeLabels(metadata), telling);
      return perMatch<GrpcRouteMatch, B>(
        rule.matches,
        EVERY_CALL,
        (match) => compileGrpcMatch(match, hosts),
        false,
        () => compileRule(rule, route, retry, undefined, backendOf),
      );
    }),
  );
}

const EVERY_REQUEST: HttpRouteMatch = { path: undefined, headers: [], queryParams: [], method: undefined };
const EVERY_CALL: GrpcRouteMatch = { rpc: undefined, headers: [] };

/** @param each a route of its own for each match: where filters speak of the prefix that matched */
function perMatch<M, B>(
  matches: readonly M[],
  every: M,
  compile: (match: M) => CompiledMatch[],
  each: boolean,
  route: (match: M) => Route<B>,
): RouteEntry<B>[] {
  // A rule that names no match matches all.
  const named = matches.length === 0 ? [every] : matches;
  const shared = each ? undefined : route(named[0] as M);
  return named.flatMap((match) => {
    const own = shared ?? route(match);
    return compile(match).map((compiled) => ({ match: compiled, route: own }));
  });
}

/** A route, as its rules' metrics name it. */
interface ToldRoute {
  readonly labels: Labels;
  readonly series: RouteRule["series"];
  readonly tries: (backend: Labels) => RouteRule["tries"];
}

function toldOf(kind: RouteKind, labels: Labels, telling: RouteTelling | undefined): ToldRoute {
  if (telling === undefined) return { labels, series: undefined, tries: () => undefined };
  const { metrics, parent } = telling;
  const all = [...parent, ...labels];
  return {
    labels,
    series: new PolicyRouteSeries(metrics, kind, all),
    tries: (backend) => new PolicyBackendSeries(metrics, kind, [...all, ...backend]),
  };
}

type WireRule = HttpRoute_Rule | GrpcRoute_Rule;

function compileRule<B>(
  rule: WireRule,
  { labels, series, tries }: ToldRoute,
  retry: RouteRule["retry"],
  prefix: string | undefined,
  backendOf: BackendOf<B>,
): Route<B> {
  const filters = compileFilters(rule.filters, prefix);
  const shared: RouteRule = {
    labels,
    request: filters.request,
    response: filters.response,
    timeouts: timeoutsOf(rule.timeouts, rule.requestTimeout),
    retry,
    series,
    isFailure: undefined,
  };
  const distribution = rule.backends?.kind;
  const weighted = distribution?.$case === "randomAvailable";
  const backends = weighted
    ? distribution.value.backends.map(({ backend, weight }) => ({ backend, weight }))
    : distribution?.$case === "firstAvailable"
      ? distribution.value.backends.map((backend) => ({ backend, weight: 1 }))
      : [];
  const choices = backends
    .filter(({ weight }) => weight > 0)
    .map(({ backend, weight }): RouteChoice<B> => {
      const own = compileFilters(backend?.filters ?? [], prefix);
      const timeouts = shared.timeouts ?? timeoutsOf(undefined, backend?.requestTimeout);
      const merged: RouteRule = {
        ...shared,
        tries: tries(referenceLabels("backend", backend?.backend?.metadata)),
        request: mergeEdits(shared.request, own.request),
        // The backend's filters are the inner ones: they see a response first.
        response: mergeEdits(own.response, shared.response),
        timeouts,
      };
      return { backend: backendOf(backend?.backend), weight, rule: merged, refuse: own.refuse };
    });
  return { refuse: filters.refuse, choices, weighted, overridable: rule.allowL5dRequestHeaders };
}

function hasPrefixes(rule: HttpRoute_Rule): boolean {
  const ofBackends = [...httpBackends(rule)].flatMap((backend) => backend.filters);
  return [...rule.filters, ...ofBackends].some(
    ({ kind }) =>
      (kind?.$case === "redirect" || kind?.$case === "urlRewrite") && kind.value.path?.replace?.$case === "prefix",
  );
}

function* httpBackends({ backends }: HttpRoute_Rule): Iterable<{ filters: readonly HttpRoute_Filter[] }> {
  const kind = backends?.kind;
  if (kind?.$case === "firstAvailable") yield* kind.value.backends;
  if (kind?.$case !== "randomAvailable") return;
  for (const { backend } of kind.value.backends) if (backend !== undefined) yield backend;
}

function prefixOf({ path }: HttpRouteMatch): string | undefined {
  return path?.kind?.$case === "prefix" ? path.kind.value : undefined;
}
