/** What an OutboundPolicy says about one destination, read from the wire (reference 5.3). */
import type { Metadata } from "../../api/gen/io/linkerd/proxy/meta.ts";
import {
  type FailureAccrual,
  type GrpcRoute,
  type HttpRoute,
  type OpaqueRoute,
  type OutboundPolicy,
  type ProxyProtocol,
  ProxyProtocol_Http1,
  type TlsRoute,
  type Backend as WireBackend,
} from "../../api/gen/io/linkerd/proxy/outbound.ts";
import type { AccrualPolicy } from "../balance/breaker.ts";
import { durationMs } from "../control/duration.ts";
import type { Labels, ProxyMetrics } from "../metrics/series.ts";
import { referenceLabels, routeLabels } from "../route/labels.ts";
import { compileGrpcRoutes, compileHttpRoutes, type RouteTelling } from "../route/policy.ts";
import { RouteTable } from "../route/table.ts";
import { sniEntries, type TcpRoute, TcpRoutes } from "../route/tcp-routes.ts";
import { endpointFromWire } from "./discovery-endpoint.ts";
import type { BalancerParameters, Endpoint, OutboundTarget } from "./target.ts";

export type PlannedBackend =
  /** `path`: what Destination.Get is asked for. */
  | {
      readonly kind: "balancer";
      readonly path: string;
      readonly parameters: BalancerParameters;
      /** `backend_*`. */
      readonly labels: Labels;
    }
  | { readonly kind: "forward"; readonly endpoint: Endpoint }
  | { readonly kind: "fail"; readonly status: number; readonly message: string };

/** A target before its endpoints are known. */
export interface TargetPlan {
  readonly protocol: OutboundTarget["protocol"];
  readonly detectTimeoutMs: number;
  readonly labels: Labels;
  readonly backend: PlannedBackend;
  readonly http1?: RouteTable<PlannedBackend>;
  readonly http2?: RouteTable<PlannedBackend>;
  readonly tcp?: TcpRoutes<PlannedBackend>;
}

/** What routes of every kind have in common, as far as the default route goes. */
interface WireRoute {
  readonly rules: readonly {
    readonly filters: readonly { readonly kind: WireFilter | undefined }[];
    readonly backends: { readonly kind: WireDistribution | undefined } | undefined;
  }[];
}
type WireFilter = { readonly $case: string; readonly value: unknown };
type WireRouteBackend = {
  readonly backend: WireBackend | undefined;
  readonly filters: readonly { readonly kind: WireFilter | undefined }[];
};
type WireDistribution =
  | { readonly $case: "empty"; readonly value: object }
  | { readonly $case: "firstAvailable"; readonly value: { readonly backends: readonly WireRouteBackend[] } }
  | {
      readonly $case: "randomAvailable";
      readonly value: {
        readonly backends: readonly { readonly backend: WireRouteBackend | undefined; readonly weight: number }[];
      };
    };

/** Linkerd's, where a message leaves them out (reference 4.8, 5.3). */
export const DEFAULT_PARAMETERS: BalancerParameters = {
  defaultRttMs: 30,
  decayMs: 10_000,
  queueCapacity: 100,
  failfastTimeoutMs: 3_000,
};
export const DEFAULT_DETECT_TIMEOUT_MS = 10_000;

/** @param metrics where routes tell of their requests; undefined: nowhere */
export function planFromPolicy(policy: OutboundPolicy, metrics?: ProxyMetrics): TargetPlan {
  const labels = parentLabels(policy.metadata);
  const kind = policy.protocol?.kind;
  if (kind === undefined) return invalid(labels, "the policy names no protocol");
  const tcp = tcpRoutes(kind);
  const routes = {
    ...httpTables(kind, metrics && { metrics, parent: labels }),
    ...(tcp === undefined ? {} : { tcp }),
  };
  if (kind.$case === "detect") {
    const { timeout, http1, http2, opaque } = kind.value;
    const first = http1?.routes ?? http2?.routes ?? opaque?.routes;
    if (first === undefined) return invalid(labels, "the policy has no routes");
    const detectTimeoutMs = durationMs(timeout) ?? DEFAULT_DETECT_TIMEOUT_MS;
    return { protocol: "detect", detectTimeoutMs, labels, backend: firstBackendOf(first), ...routes };
  }
  const backend = firstBackendOf(kind.value.routes);
  return { protocol: kind.$case, detectTimeoutMs: 0, labels, backend, ...routes };
}

type ProtocolKind = NonNullable<ProxyProtocol["kind"]>;

/**
 * The tables of what is detected are each protocol's own; those of a protocol that the policy names are for whatever version comes.
 * Where the policy says the same of both, as Linkerd's does, they are one.
 */
function httpTables(
  kind: ProtocolKind,
  telling: RouteTelling | undefined,
): Pick<TargetPlan, "http1" | "http2"> | undefined {
  switch (kind.$case) {
    case "detect": {
      const http1 = kind.value.http1 ?? kind.value.http2;
      const http2 = kind.value.http2 ?? http1;
      if (http1 === undefined || http2 === undefined) return undefined;
      const table = httpTable(http1, telling);
      return { http1: table, http2: sameRoutes(http1, http2) ? table : httpTable(http2, telling) };
    }
    case "http1":
    case "http2":
      return bothVersions(httpTable(kind.value, telling));
    case "grpc": {
      const { routes, failureAccrual } = kind.value;
      return bothVersions(new RouteTable(compileGrpcRoutes(routes, planner(failureAccrual), telling)));
    }
    default:
      return undefined;
  }
}

export function bothVersions<B>(table: RouteTable<B>): { http1: RouteTable<B>; http2: RouteTable<B> } {
  return { http1: table, http2: table };
}

function httpTable(
  { routes, failureAccrual }: ProxyProtocol_Http1,
  telling: RouteTelling | undefined,
): RouteTable<PlannedBackend> {
  return new RouteTable(compileHttpRoutes(routes, planner(failureAccrual), telling));
}

/** By their bytes: the two messages have the same fields. */
function sameRoutes(a: ProxyProtocol_Http1, b: ProxyProtocol_Http1): boolean {
  const [left, right] = [a, b].map((each) => ProxyProtocol_Http1.encode(each).finish()) as [Uint8Array, Uint8Array];
  return Buffer.compare(left, right) === 0;
}

function planner(accrual: FailureAccrual | undefined): (backend: WireBackend | undefined) => PlannedBackend {
  const breaks = accrualPolicy(accrual);
  return (backend) => {
    const planned = planBackend(backend);
    if (planned.kind !== "balancer" || breaks === undefined) return planned;
    return { ...planned, parameters: { ...planned.parameters, accrual: breaks } };
  };
}

function tcpRoutes(kind: ProtocolKind): TcpRoutes<PlannedBackend> | undefined {
  switch (kind.$case) {
    case "detect":
      return kind.value.opaque && opaqueRoutes(kind.value.opaque.routes);
    case "opaque":
      return opaqueRoutes(kind.value.routes);
    case "tls":
      return new TcpRoutes(kind.value.routes.flatMap((route) => sniEntries(route.snis, tcpRoute(route))));
    default:
      return undefined;
  }
}

function opaqueRoutes(routes: readonly OpaqueRoute[]): TcpRoutes<PlannedBackend> {
  return new TcpRoutes(routes.flatMap((route) => sniEntries([], tcpRoute(route))));
}

function tcpRoute({ metadata, rules }: OpaqueRoute | TlsRoute): TcpRoute<PlannedBackend> {
  const labels = routeLabels(metadata);
  const [rule] = rules;
  const refusal = rule && refusalOf(rule.filters);
  if (refusal !== undefined) return { labels, weighted: false, choices: [{ backend: refusal, weight: 1 }] };
  const kind = rule?.backends?.kind;
  const planned = ({ backend, filters }: WireRouteBackend): PlannedBackend =>
    refusalOf(filters) ?? planBackend(backend);
  if (kind?.$case === "randomAvailable") {
    const choices = kind.value.backends.flatMap(({ backend, weight }) =>
      backend === undefined || weight === 0 ? [] : [{ backend: planned(backend), weight }],
    );
    return { labels, weighted: true, choices };
  }
  const backends = kind?.$case === "firstAvailable" ? kind.value.backends : [];
  return { labels, weighted: false, choices: backends.map((backend) => ({ backend: planned(backend), weight: 1 })) };
}

/** Reference 6.3, 9.3. */
function accrualPolicy(accrual: FailureAccrual | undefined): AccrualPolicy | undefined {
  const kind = accrual?.kind;
  if (kind === undefined) return undefined;
  const { backoff } = kind.value;
  const common = {
    backoff: {
      minMs: durationMs(backoff?.minBackoff) ?? 1_000,
      maxMs: durationMs(backoff?.maxBackoff) ?? 60_000,
      jitter: backoff?.jitterRatio ?? 0.5,
    },
    honorsRetryAfter: backoff?.respectRetryAfterHint ?? false,
    minReady: accrual?.ejection?.minReadyEndpoints ?? 0,
  };
  const orNever = (max: number): number => (max === 0 ? Number.POSITIVE_INFINITY : max);
  if (kind.$case === "consecutiveFailures") return { ...common, maxConsecutive: orNever(kind.value.maxFailures) };
  const { successRateThreshold: threshold, decay, minRequests, maxConsecutiveFailures } = kind.value;
  const windowMs = durationMs(decay) ?? 10_000;
  return { ...common, maxConsecutive: orNever(maxConsecutiveFailures), rate: { threshold, windowMs, minRequests } };
}

/** The tables of a plan or a target to what `change` makes of each backend; one where they were one. */
export function mapTables<B, C>(
  { http1, http2 }: { readonly http1?: RouteTable<B>; readonly http2?: RouteTable<B> },
  change: (backend: B) => C,
): { http1?: RouteTable<C>; http2?: RouteTable<C> } {
  const first = http1?.map(change);
  const second = http2 === http1 ? first : http2?.map(change);
  return { ...(first === undefined ? {} : { http1: first }), ...(second === undefined ? {} : { http2: second }) };
}

export function parentLabels(metadata: Metadata | undefined): Labels {
  return referenceLabels("parent", metadata);
}

function invalid(labels: Labels, message: string): TargetPlan {
  return { protocol: "detect", detectTimeoutMs: DEFAULT_DETECT_TIMEOUT_MS, labels, backend: fail(500, message) };
}

function firstBackendOf(
  routes: readonly HttpRoute[] | readonly GrpcRoute[] | readonly OpaqueRoute[] | readonly TlsRoute[],
): PlannedBackend {
  return backendOf((routes as readonly WireRoute[]).flatMap((route) => route.rules)[0]);
}

function backendOf(rule: WireRoute["rules"][number] | undefined): PlannedBackend {
  if (rule === undefined) return fail(404, "no route");
  const refusal = refusalOf(rule.filters);
  if (refusal !== undefined) return refusal;
  const distribution = rule.backends?.kind;
  if (distribution === undefined) return fail(500, "the policy's route names no backends");
  const first = firstBackend(distribution);
  if (first === undefined) return fail(500, "the policy's route has no backend");
  return refusalOf(first.filters) ?? planBackend(first.backend);
}

function firstBackend(distribution: WireDistribution): WireRouteBackend | undefined {
  switch (distribution.$case) {
    case "empty":
      return undefined;
    case "firstAvailable":
      return distribution.value.backends[0];
    case "randomAvailable":
      return distribution.value.backends.find(({ weight }) => weight > 0)?.backend;
  }
}

function planBackend(backend: WireBackend | undefined): PlannedBackend {
  const kind = backend?.kind;
  if (backend === undefined || kind === undefined) return fail(500, "the policy's backend is empty");
  if (kind.$case === "forward") {
    const endpoint = endpointFromWire(kind.value);
    return endpoint === undefined ? fail(500, "the policy's backend has no address") : { kind: "forward", endpoint };
  }
  const path = kind.value.discovery?.kind?.value.path;
  const load = kind.value.load?.value;
  if (path === undefined || path === "" || load === undefined || backend.queue === undefined) {
    return fail(500, "the policy's balancer lacks discovery, load or queue");
  }
  return {
    kind: "balancer",
    path,
    labels: referenceLabels("backend", backend.metadata),
    parameters: {
      defaultRttMs: durationMs(load.defaultRtt) ?? DEFAULT_PARAMETERS.defaultRttMs,
      decayMs: durationMs(load.decay) ?? DEFAULT_PARAMETERS.decayMs,
      queueCapacity: backend.queue.capacity,
      failfastTimeoutMs: durationMs(backend.queue.failfastTimeout) ?? DEFAULT_PARAMETERS.failfastTimeoutMs,
      ...("penalty" in load
        ? {
            penalty: {
              penaltyMs: durationMs(load.penalty) ?? 5_000,
              maxRetryAfterMs: durationMs(load.maxRetryAfter) ?? 300_000,
            },
          }
        : {}),
    },
  };
}

/** Filters that let nothing through: failure injection, forbidden and invalid opaque routes. */
function refusalOf(filters: readonly { readonly kind: WireFilter | undefined }[]): PlannedBackend | undefined {
  for (const { kind } of filters) {
    if (kind?.$case === "forbidden") return fail(403, "forbidden by policy");
    if (kind?.$case === "invalid") return fail(500, (kind.value as { message: string }).message);
    if (kind?.$case === "failureInjector") {
      const { status, code, message } = kind.value as { status?: number; code?: number; message: string };
      return fail(status ?? (code === undefined ? 500 : 503), message);
    }
  }
  return undefined;
}

function fail(status: number, message: string): PlannedBackend {
  return { kind: "fail", status, message };
}
