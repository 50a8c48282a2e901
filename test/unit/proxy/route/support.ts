import type { HttpRouteMatch, PathMatch } from "../../../../runtime/api/gen/io/linkerd/proxy/http_route.ts";
import type {
  HttpRoute,
  HttpRoute_Filter,
  HttpRoute_Rule,
  Backend as WireBackend,
} from "../../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import type { HeaderList, RequestHead } from "../../../../runtime/proxy/http/request-head.ts";

export function request(
  url: string,
  options: { method?: string; headers?: Readonly<Record<string, string>>; grpc?: boolean } = {},
): RequestHead {
  const { protocol, host, pathname, search } = new URL(url);
  const headers: HeaderList = Object.entries(options.headers ?? {});
  return {
    method: options.method ?? "GET",
    scheme: protocol === "https:" ? "https" : "http",
    authority: host,
    path: pathname,
    query: search.slice(1),
    version: "HTTP/1.1",
    grpc: options.grpc ?? false,
    header: (name) => headers.find(([field]) => field === name)?.[1],
    headers: () => headers,
  };
}

export function pathMatch($case: "exact" | "prefix" | "regex", value: string): HttpRouteMatch {
  const kind = { $case, value } as NonNullable<PathMatch["kind"]>;
  return { path: { kind }, headers: [], queryParams: [], method: undefined };
}

export function rule(parts: Partial<HttpRoute_Rule> & { to?: string } = {}): HttpRoute_Rule {
  const { to = "web", ...rest } = parts;
  return {
    matches: [],
    filters: [],
    backends: { kind: { $case: "firstAvailable", value: { backends: [routeBackend(to)] } } },
    requestTimeout: undefined,
    timeouts: undefined,
    retry: undefined,
    allowL5dRequestHeaders: false,
    ...rest,
  };
}

export function weighted(weights: Readonly<Record<string, number>>): HttpRoute_Rule["backends"] {
  const backends = Object.entries(weights).map(([name, weight]) => ({ backend: routeBackend(name), weight }));
  return { kind: { $case: "randomAvailable", value: { backends } } };
}

export function routeBackend(name: string, filters: HttpRoute_Filter[] = []) {
  return { backend: backend(name), filters, requestTimeout: undefined };
}

function backend(name: string): WireBackend {
  return { metadata: { kind: { $case: "default", value: name } }, kind: undefined, queue: undefined };
}

export function nameOf(wire: WireBackend | undefined): string {
  const kind = wire?.metadata?.kind;
  return kind?.$case === "default" ? kind.value : "?";
}

export function route(rules: HttpRoute_Rule[], hosts: HttpRoute["hosts"] = []): HttpRoute {
  return { metadata: { kind: { $case: "default", value: "test" } }, hosts, rules };
}
