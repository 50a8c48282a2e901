/**
 * Matches of HTTPRoute and GRPCRoute as the protobuf gives them (reference 5.1), compiled, and ordered by the precedence of the
 * Gateway API (reference 9.9): host, exact path, longest prefix, method, number of headers, number of query parameters.
 */
import type { GrpcRouteMatch } from "../../api/gen/io/linkerd/proxy/grpc_route.ts";
import type { HeaderMatch, HostMatch, HttpRouteMatch, PathMatch } from "../../api/gen/io/linkerd/proxy/http_route.ts";
import type { HttpMethod } from "../../api/gen/io/linkerd/proxy/http_types.ts";
import type { RequestHead } from "../http/request-head.ts";

/** What of a head is asked for. */
export type MatchedHead = Pick<RequestHead, "method" | "authority" | "path" | "query" | "header">;

export type RequestTest = (head: MatchedHead) => boolean;

/** One way to match, and how specific it is: greater ranks come first, compared from the left. */
export interface CompiledMatch {
  readonly test: RequestTest;
  readonly rank: readonly number[];
  /** Matches every request there can be. */
  readonly everything: boolean;
}

/** By number, as enum HttpMethod.Registered. */
export const REGISTERED_METHODS: readonly string[] = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "PATCH",
  "OPTIONS",
  "CONNECT",
  "HEAD",
  "TRACE",
];

const EXACT = 3;
const REGEX = 2;
const PREFIX = 1;

/** @param hosts of the route; a route without hosts matches any */
export function compileHttpMatch(match: HttpRouteMatch, hosts: readonly HostMatch[]): CompiledMatch[] {
  const path = compilePath(match.path);
  const method = compileMethod(match.method);
  const tests = [
    ...(path.everything ? [] : [path.test]),
    ...(method === undefined ? [] : [method]),
    ...match.headers.map(compileHeader),
    ...match.queryParams.map(compileQuery),
  ];
  const rank = [...path.rank, method === undefined ? 0 : 1, match.headers.length, match.queryParams.length];
  return withHosts(hosts, tests, rank);
}

export function compileGrpcMatch(match: GrpcRouteMatch, hosts: readonly HostMatch[]): CompiledMatch[] {
  const { service = "", method = "" } = match.rpc ?? {};
  const tests = match.headers.map(compileHeader);
  if (service !== "" || method !== "") {
    tests.push(({ path }) => {
      const [, called, rpc] = path.split("/");
      return (service === "" || called === service) && (method === "" || rpc === method);
    });
  }
  const rank = [service === "" ? 0 : EXACT, service.length, method === "" ? 0 : 1, match.headers.length, 0];
  return withHosts(hosts, tests, rank);
}

/** Greater ranks first. */
export function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (b[index] ?? 0) - (a[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function withHosts(
  hosts: readonly HostMatch[],
  tests: readonly RequestTest[],
  rank: readonly number[],
): CompiledMatch[] {
  if (hosts.length === 0) {
    return [{ test: all(tests), rank: [0, 0, ...rank], everything: tests.length === 0 }];
  }
  return hosts.map((host) => {
    const { test, rank: hostRank } = compileHost(host);
    return { test: all([test, ...tests]), rank: [...hostRank, ...rank], everything: false };
  });
}

function all(tests: readonly RequestTest[]): RequestTest {
  const [first, ...more] = tests;
  if (first === undefined) return () => true;
  return more.reduce<RequestTest>((before, test) => (head) => before(head) && test(head), first);
}

function compileHost({ match }: HostMatch): { test: RequestTest; rank: [number, number] } {
  const hostOf = ({ authority }: MatchedHead): string =>
    authority.toLowerCase().replace(/:\d+$/, "").replace(/\.$/, "");
  if (match?.$case === "exact") {
    const host = match.value.toLowerCase().replace(/\.$/, "");
    return { test: (head) => hostOf(head) === host, rank: [2, host.length] };
  }
  if (match?.$case === "suffix") {
    const ending = `.${match.value.reverseLabels.toReversed().join(".").toLowerCase()}`;
    return { test: (head) => hostOf(head).endsWith(ending), rank: [1, ending.length] };
  }
  return { test: () => false, rank: [0, 0] };
}

function compilePath(match: PathMatch | undefined): { test: RequestTest; rank: [number, number]; everything: boolean } {
  const kind = match?.kind;
  if (kind === undefined || (kind.$case === "prefix" && (kind.value === "/" || kind.value === ""))) {
    return { test: () => true, rank: [PREFIX, kind === undefined ? 0 : 1], everything: true };
  }
  const { value } = kind;
  if (kind.$case === "exact") {
    return { test: ({ path }) => path === value, rank: [EXACT, value.length], everything: false };
  }
  if (kind.$case === "regex") {
    const regex = compileRegex(value);
    return { test: ({ path }) => regex?.test(path) === true, rank: [REGEX, value.length], everything: false };
  }
  // Element-wise: /foo matches /foo and /foo/bar, not /foobar.
  const prefix = value.replace(/\/+$/, "");
  const below = `${prefix}/`;
  return {
    test: ({ path }) => path === prefix || path.startsWith(below),
    rank: [PREFIX, value.length],
    everything: false,
  };
}

export function compileMethod(method: HttpMethod | undefined): RequestTest | undefined {
  const type = method?.type;
  if (type === undefined) return undefined;
  const wanted = type.$case === "registered" ? REGISTERED_METHODS[type.value] : type.value;
  return (head) => head.method === wanted;
}

function compileHeader({ name, value }: HeaderMatch): RequestTest {
  const lower = name.toLowerCase();
  if (value === undefined) return () => false;
  if (value.$case === "exact") {
    const wanted = value.value.toString("latin1");
    return (head) => head.header(lower) === wanted;
  }
  const regex = compileRegex(value.value);
  return (head) => {
    const found = head.header(lower);
    return found !== undefined && regex?.test(found) === true;
  };
}

function compileQuery({ name, value }: HttpRouteMatch["queryParams"][number]): RequestTest {
  if (value === undefined) return () => false;
  const regex = value.$case === "regex" ? compileRegex(value.value) : undefined;
  return ({ query }) => {
    const found = new URLSearchParams(query).get(name);
    if (found === null) return false;
    return value.$case === "exact" ? found === value.value : regex?.test(found) === true;
  };
}

/** Anchored at both ends, as Linkerd's. undefined, which never matches: not a regular expression of this language. */
export function compileRegex(source: string): RegExp | undefined {
  try {
    return new RegExp(`^(?:${source})$`, "u");
  } catch {
    return undefined;
  }
}
