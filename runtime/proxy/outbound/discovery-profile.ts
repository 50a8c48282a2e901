/** What a DestinationProfile says about one destination, by itself and beside its policy (reference 5.2). */
import type { DestinationProfile } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { ProxyMetrics } from "../metrics/series.ts";
import { referenceLabels, routeLabels } from "../route/labels.ts";
import { compileProfile, routesByProfile } from "../route/profile.ts";
import { RouteTable } from "../route/table.ts";
import { sniEntries, TcpRoutes } from "../route/tcp-routes.ts";
import { endpointFromWire } from "./discovery-endpoint.ts";
import {
  bothVersions,
  DEFAULT_DETECT_TIMEOUT_MS,
  DEFAULT_PARAMETERS,
  mapTables,
  type PlannedBackend,
  parentLabels,
  type TargetPlan,
} from "./discovery-policy.ts";

/**
 * Where there is no policy: the profile alone decides. @param port of the original destination
 * undefined: the profile knows neither a service nor an endpoint.
 */
export function planFromProfile(profile: DestinationProfile, port: number): TargetPlan | undefined {
  const common = {
    protocol: profile.opaqueProtocol ? ("opaque" as const) : ("detect" as const),
    detectTimeoutMs: DEFAULT_DETECT_TIMEOUT_MS,
    labels: parentLabels(profile.parentRef),
  };
  const endpoint = profile.endpoint && endpointFromWire(profile.endpoint);
  if (endpoint !== undefined) return { ...common, backend: { kind: "forward", endpoint } };
  if (profile.fullyQualifiedName === "") return undefined;
  const path = `${profile.fullyQualifiedName}:${port}`;
  const labels = referenceLabels("backend", profile.parentRef);
  return { ...common, backend: { kind: "balancer", path, parameters: DEFAULT_PARAMETERS, labels } };
}

/** Whether the profile changes anything of what a policy says. */
export function decidesBesidePolicy(profile: DestinationProfile): boolean {
  return profile.opaqueProtocol || routesByProfile(profile);
}

/**
 * A ServiceProfile with routes or overrides wins over the policy's routes (reference 5.2): HTTP goes by both, connections of bytes by the
 * overrides. What it says is opaque is so, whatever the policy would detect.
 * @param port of the original destination
 */
export function planWithProfile(
  plan: TargetPlan,
  profile: DestinationProfile,
  port: number,
  metrics?: ProxyMetrics,
): TargetPlan {
  const routed = routesByProfile(profile) ? { ...plan, ...profileRoutes(plan, profile, port, metrics) } : plan;
  return profile.opaqueProtocol ? { ...routed, protocol: "opaque" } : routed;
}

function profileRoutes(
  plan: TargetPlan,
  profile: DestinationProfile,
  port: number,
  metrics: ProxyMetrics | undefined,
): Pick<TargetPlan, "http1" | "http2" | "tcp"> {
  const authority = `${profile.fullyQualifiedName}:${port}`;
  const parameters = plan.backend.kind === "balancer" ? plan.backend.parameters : DEFAULT_PARAMETERS;
  const overrides = profile.dstOverrides.filter(({ weight }) => weight > 0);
  const backends = overrides.map(({ authority: path, weight, backendRef }) => ({
    backend: { kind: "balancer" as const, path, parameters, labels: referenceLabels("backend", backendRef) },
    weight,
  }));
  const own = {
    kind: "balancer" as const,
    path: authority,
    parameters,
    labels: referenceLabels("backend", profile.parentRef),
  };
  const itself = { backend: own, weight: 1 };
  const table = new RouteTable<PlannedBackend>(
    compileProfile(profile, authority, backends.length === 0 ? [itself] : backends, metrics),
  );
  const http = bothVersions(table);
  if (backends.length === 0 || plan.protocol === "tls") return http;
  const labels = routeLabels({ kind: { $case: "default", value: "serviceprofile" } });
  return { ...http, tcp: new TcpRoutes(sniEntries([], { labels, weighted: true, choices: backends })) };
}

/** A policy that only forwards says nothing about who is there; the profile may (reference 4.8). */
export function refineByProfile(plan: TargetPlan, profile: DestinationProfile): TargetPlan {
  if (plan.backend.kind !== "forward") return plan;
  const endpoint = profile.endpoint && endpointFromWire(profile.endpoint);
  const refine = (backend: PlannedBackend): PlannedBackend =>
    endpoint === undefined || backend.kind !== "forward" ? backend : { kind: "forward", endpoint };
  return {
    ...plan,
    ...(profile.opaqueProtocol ? { protocol: "opaque" } : {}),
    backend: refine(plan.backend),
    ...mapTables(plan, refine),
    ...(plan.tcp === undefined ? {} : { tcp: plan.tcp.map(refine) }),
  };
}
