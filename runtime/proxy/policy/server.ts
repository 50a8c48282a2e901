/** One port's policy, compiled from what the controller sent: closures and rendered labels, nothing is looked up later. */
import type { GrpcRouteMatch } from "../../api/gen/io/linkerd/proxy/grpc_route.ts";
import type { HttpRouteMatch } from "../../api/gen/io/linkerd/proxy/http_route.ts";
import type { GrpcRoute, HttpLocalRateLimit, HttpRoute, Server } from "../../api/gen/io/linkerd/proxy/inbound.ts";
import type { Metadata } from "../../api/gen/io/linkerd/proxy/meta.ts";
import { durationMs } from "../control/duration.ts";
import type { HeadEdits } from "../http/route-rule.ts";
import type { Labels } from "../metrics/series.ts";
import { type CompiledFilters, compileFilters } from "../route/filters.ts";
import { type CompiledMatch, compareRanks, compileGrpcMatch, compileHttpMatch } from "../route/match.ts";
import type { Refuse } from "../route/refusals.ts";
import { type Authorize, compileAuthorizations } from "./authorization.ts";
import type { InboundServer, RouteMatch } from "./inbound.ts";
import { compileRateLimit, type RateLimit } from "./rate-limit.ts";

/** A way to match, with the route it leads to. */
export interface RouteEntry {
  readonly match: CompiledMatch;
  readonly route: RouteMatch;
}

export interface ServerParts {
  readonly protocol: InboundServer["protocol"];
  readonly detectTimeoutMs: number;
  readonly labels: Labels;
  readonly authorize: Authorize;
  readonly rateLimit: RateLimit | undefined;
  readonly routes: readonly RouteEntry[];
}

const DEFAULT_DETECT_TIMEOUT_MS = 10_000;

/** @throws InvalidPolicyError where the message lacks what is mandatory (reference 14) */
export function compileServer(server: Server, port: number): InboundServer {
  const kind = server.protocol?.kind;
  if (kind === undefined) throw new InvalidPolicyError(`the policy of port ${port} names no protocol`);
  const serverAuthorize = compileAuthorizations(server.authorizations);
  return assembleServer({
    protocol: kind.$case,
    detectTimeoutMs: kind.$case === "detect" ? (durationMs(kind.value.timeout) ?? DEFAULT_DETECT_TIMEOUT_MS) : 0,
    labels: serverLabels(server.labels["group"] ?? "", server.labels["kind"] ?? "", server.labels["name"] ?? "", port),
    authorize: serverAuthorize,
    rateLimit: compileRateLimit(rateLimitOf(kind)),
    routes: compileRoutes(kind),
  });
}

export class InvalidPolicyError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "InvalidPolicyError";
  }
}

export function assembleServer({ authorize, routes, ...rest }: ServerParts): InboundServer {
  const ordered = routes.toSorted((a, b) => compareRanks(a.match.rank, b.match.rank));
  return { ...rest, authorizeConnection: authorize, route: compileRouting(ordered) };
}

/** Called for every request: allocates nothing. */
function compileRouting(ordered: readonly RouteEntry[]): InboundServer["route"] {
  const [first] = ordered;
  if (first?.match.everything) return () => first.route;
  const tests = ordered.map(({ match }) => match.test);
  const routes = ordered.map(({ route }) => route);
  return (request) => {
    for (let index = 0; index < tests.length; index++) {
      if (tests[index]!(request)) return routes[index];
    }
    return undefined;
  };
}

export function serverLabels(group: string, kind: string, name: string, port: number): Labels {
  return [
    ["srv_group", group],
    ["srv_kind", kind],
    ["srv_name", name],
    ["srv_port", String(port)],
  ];
}

/** The route that no manifest made. */
export function defaultRoute(name: string, authorize: Authorize): RouteEntry {
  return {
    match: { test: () => true, rank: [], everything: true },
    route: new CompiledRoute({ labels: routeLabels("", "default", name), name, authorize }, NO_FILTERS),
  };
}

type Kind = NonNullable<NonNullable<Server["protocol"]>["kind"]>;

function rateLimitOf(kind: Kind): HttpLocalRateLimit | undefined {
  switch (kind.$case) {
    case "detect":
      return kind.value.httpLocalRateLimit;
    case "http1":
    case "http2":
      return kind.value.localRateLimit;
    case "grpc":
    case "opaque":
    case "tls":
      return undefined;
  }
}

function compileRoutes(kind: Kind): RouteEntry[] {
  switch (kind.$case) {
    case "detect":
      return kind.value.httpRoutes.flatMap(compileHttpRoute);
    case "http1":
    case "http2":
      return kind.value.routes.flatMap(compileHttpRoute);
    case "grpc":
      return kind.value.routes.flatMap(compileGrpcRoute);
    case "opaque":
    case "tls":
      return [];
  }
}

const EVERY_REQUEST: HttpRouteMatch = { path: undefined, headers: [], queryParams: [], method: undefined };
const EVERY_CALL: GrpcRouteMatch = { rpc: undefined, headers: [] };

function compileHttpRoute({ metadata, hosts, authorizations, rules }: HttpRoute): RouteEntry[] {
  const told = tellRoute(metadata, compileAuthorizations(authorizations));
  return rules.flatMap(({ matches, filters }) => {
    const shared = new CompiledRoute(told, compileFilters(filters, undefined));
    // Where a filter speaks of the prefix that matched, each match has filters of its own.
    const ofPrefix = filters.some(
      ({ kind }) => kind?.$case === "redirect" && kind.value.path?.replace?.$case === "prefix",
    );
    return everyOr(matches, EVERY_REQUEST).flatMap((match) => {
      const route = ofPrefix ? new CompiledRoute(told, compileFilters(filters, prefixOf(match))) : shared;
      return compileHttpMatch(match, hosts).map((compiled) => ({ match: compiled, route }));
    });
  });
}

function compileGrpcRoute({ metadata, hosts, authorizations, rules }: GrpcRoute): RouteEntry[] {
  const told = tellRoute(metadata, compileAuthorizations(authorizations));
  return rules.flatMap(({ matches, filters }) => {
    const route = new CompiledRoute(told, compileFilters(filters, undefined));
    return everyOr(matches, EVERY_CALL).flatMap((match) =>
      compileGrpcMatch(match, hosts).map((compiled) => ({ match: compiled, route })),
    );
  });
}

/** A rule that names no match matches all. */
function everyOr<M>(matches: readonly M[], every: M): readonly M[] {
  return matches.length === 0 ? [every] : matches;
}

function prefixOf({ path }: HttpRouteMatch): string | undefined {
  return path?.kind?.$case === "prefix" ? path.kind.value : undefined;
}

/** What the rules of one route have in common. */
type ToldRoute = Pick<RouteMatch, "labels" | "name"> & { readonly authorize: Authorize };

function tellRoute(metadata: Metadata | undefined, authorize: Authorize): ToldRoute {
  const kind = metadata?.kind;
  if (kind?.$case === "resource") {
    const { group, kind: resource, name } = kind.value;
    return { labels: routeLabels(group, resource, name), name, authorize };
  }
  const name = kind?.value ?? "default";
  return { labels: routeLabels("", "default", name), name, authorize };
}

function routeLabels(group: string, kind: string, name: string): Labels {
  return [
    ["route_group", group],
    ["route_kind", kind],
    ["route_name", name],
  ];
}

const NO_FILTERS: CompiledFilters = { request: undefined, response: undefined, refuse: undefined };

class CompiledRoute implements RouteMatch {
  readonly labels: Labels;
  readonly name: string;
  readonly probe: boolean;
  readonly authorize: Authorize;
  readonly edits: HeadEdits | undefined;
  readonly refuse: Refuse | undefined;

  constructor({ labels, name, authorize }: ToldRoute, { request, refuse }: CompiledFilters) {
    const [, [, kind] = []] = labels;
    this.labels = labels;
    this.name = name;
    this.probe = kind === "default" && name === "probe";
    this.authorize = authorize;
    this.edits = request;
    this.refuse = refuse;
  }
}
