/** Routes of HTTP, and policies of them, as a control plane sends them (reference 5.1, 5.3). */
import assert from "node:assert/strict";
import type { Duration } from "../../../../runtime/api/gen/google/protobuf/duration.ts";
import type { DestinationProfile } from "../../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import type {
  Backend,
  ExponentialBackoff,
  FailureAccrual,
  GrpcRoute_Rule,
  HttpRoute,
  HttpRoute_Retry,
  HttpRoute_Rule,
  OpaqueRoute,
  OutboundPolicy,
  TlsRoute,
} from "../../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { balancer, detectPolicy } from "./messages.ts";
import { pathOf } from "./outbound-world.ts";

export function rule(
  to: string | Backend | Record<string, number>,
  parts: Partial<HttpRoute_Rule> = {},
): HttpRoute_Rule {
  return {
    matches: [],
    filters: [],
    backends: distribution(to),
    requestTimeout: undefined,
    timeouts: undefined,
    retry: undefined,
    allowL5dRequestHeaders: false,
    ...parts,
  };
}

function distribution(to: string | Backend | Record<string, number>): HttpRoute_Rule["backends"] {
  const routeBackend = (backend: Backend) => ({ backend, filters: [], requestTimeout: undefined });
  if (typeof to === "string" || isBackend(to)) {
    const backend = typeof to === "string" ? balancer(pathOf(to)) : to;
    return { kind: { $case: "firstAvailable", value: { backends: [routeBackend(backend)] } } };
  }
  const backends = Object.entries(to).map(([name, weight]) => ({
    backend: routeBackend(balancer(pathOf(name))),
    weight,
  }));
  return { kind: { $case: "randomAvailable", value: { backends } } };
}

function isBackend(to: Backend | Record<string, number>): to is Backend {
  return "queue" in to;
}

export function prefix(value: string): HttpRoute_Rule["matches"] {
  return [{ path: { kind: { $case: "prefix", value } }, headers: [], queryParams: [], method: undefined }];
}

export function route(rules: HttpRoute_Rule[], hosts: HttpRoute["hosts"] = [], name = "test"): HttpRoute {
  return { metadata: { kind: { $case: "default", value: name } }, hosts, rules };
}

/** Detected, as by default: the same routes of HTTP/1 and of HTTP/2; connections of bytes go to the Service web. */
export function policy(routes: HttpRoute[], failureAccrual?: FailureAccrual): OutboundPolicy {
  const base = detectPolicy(balancer(pathOf("web")), { namespace: "shop", name: "web", port: 80 });
  const detect = base.protocol?.kind;
  assert.equal(detect?.$case, "detect");
  detect.value.http1 = { routes, failureAccrual };
  detect.value.http2 = { routes, failureAccrual };
  return base;
}

export function duration(ms: number): Duration {
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1e6 };
}

/** From `ms` to ten times it, without jitter. */
export function backoff(ms: number): ExponentialBackoff {
  return { minBackoff: duration(ms), maxBackoff: duration(ms * 10), jitterRatio: 0, respectRetryAfterHint: false };
}

/** A route of bytes: to one backend, or by weight. */
export function opaqueRoute(to: Backend | Record<string, number>, name = "bytes", port = 80): OpaqueRoute {
  return {
    metadata: { kind: { $case: "default", value: name } },
    rules: [{ filters: [], backends: bytesTo(to, port) }],
  };
}

function bytesTo(to: Backend | Record<string, number>, port: number): OpaqueRoute["rules"][number]["backends"] {
  if (isBackend(to)) {
    return { kind: { $case: "firstAvailable", value: { backends: [{ backend: to, filters: [] }] } } };
  }
  const backends = Object.entries(to).map(([service, weight]) => ({
    backend: { backend: balancer(pathOf(service, port)), filters: [] },
    weight,
  }));
  return { kind: { $case: "randomAvailable", value: { backends } } };
}

export function bytesPolicy(...routes: OpaqueRoute[]): OutboundPolicy {
  return { metadata: SHOP_WEB, protocol: { kind: { $case: "opaque", value: { routes } } } };
}

/** @param names exact ones, or suffixes (`*.example.com`) */
export function tlsRoute(names: readonly string[], to: Backend | Record<string, number>, name = "names"): TlsRoute {
  return {
    ...opaqueRoute(to, name),
    snis: names.map((sni) => ({
      match: sni.startsWith("*.")
        ? { $case: "suffix", value: { reverseLabels: sni.slice(2).split(".").reverse() } }
        : { $case: "exact", value: sni },
    })),
  };
}

export function tlsPolicy(...routes: TlsRoute[]): OutboundPolicy {
  return { metadata: SHOP_WEB, protocol: { kind: { $case: "tls", value: { routes } } } };
}

const SHOP_WEB: OutboundPolicy["metadata"] = {
  kind: {
    $case: "resource",
    value: { group: "core", kind: "Service", namespace: "shop", name: "web", port: 80, section: "" },
  },
};

/** Retries for statuses of 5xx, each soon. */
export function httpRetry(parts: Partial<HttpRoute_Retry> = {}): HttpRoute_Retry {
  return {
    maxRetries: 2,
    maxRequestBytes: 65_536,
    conditions: { statusRanges: [{ start: 500, end: 599 }] },
    timeout: undefined,
    backoff: backoff(5),
    ...parts,
  };
}

export function grpcRule(to: string | Backend, parts: Partial<GrpcRoute_Rule> = {}): GrpcRoute_Rule {
  const backend = typeof to === "string" ? balancer(pathOf(to)) : to;
  const backends = [{ backend, filters: [], requestTimeout: undefined }];
  return {
    matches: [],
    filters: [],
    backends: { kind: { $case: "firstAvailable", value: { backends } } },
    requestTimeout: undefined,
    timeouts: undefined,
    retry: undefined,
    allowL5dRequestHeaders: false,
    ...parts,
  };
}

export function grpcPolicy(rules: GrpcRoute_Rule[], failureAccrual?: FailureAccrual): OutboundPolicy {
  const routes = [{ metadata: { kind: { $case: "default" as const, value: "test" } }, hosts: [], rules }];
  return { metadata: SHOP_WEB, protocol: { kind: { $case: "grpc", value: { routes, failureAccrual } } } };
}

/** A ServiceProfile of the shop's Service web, that says nothing but `parts`. */
export function profile(parts: Partial<DestinationProfile> = {}): DestinationProfile {
  return {
    fullyQualifiedName: "web.shop.svc.cluster.local",
    opaqueProtocol: false,
    routes: [],
    retryBudget: undefined,
    dstOverrides: [],
    endpoint: undefined,
    parentRef: undefined,
    profileRef: undefined,
    ...parts,
  };
}
