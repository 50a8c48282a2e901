/** What a target is, as a DestinationProfile: a Service, one pod, or an address nobody knows (reference 5.2). */
import type { DestinationProfile, RetryBudget } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { serviceFqdn } from "./authority.ts";
import { type ClusterState, keyOf } from "./cluster-state.ts";
import { isOpaque } from "./opaque-ports.ts";
import type { PodView, ServiceView } from "./projections.ts";
import { bareAddress, podAddress } from "./weighted-address.ts";

/** What proxies use where no ServiceProfile says otherwise. */
const RETRY_BUDGET: RetryBudget = { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: { seconds: 10n, nanos: 0 } };

const EMPTY: DestinationProfile = {
  fullyQualifiedName: "",
  opaqueProtocol: false,
  routes: [],
  retryBudget: RETRY_BUDGET,
  dstOverrides: [],
  endpoint: undefined,
  parentRef: undefined,
  profileRef: undefined,
};

export function serviceProfile(
  state: ClusterState,
  mesh: MeshConfig,
  service: ServiceView,
  port: number,
): DestinationProfile {
  // A port that the Service does not declare: an empty profile, until it does.
  if (!service.ports.some((declared) => declared.port === port)) return EMPTY;
  const { name, namespace = "" } = service.metadata;
  return {
    ...EMPTY,
    fullyQualifiedName: serviceFqdn(keyOf(service), mesh.clusterDomain),
    opaqueProtocol: isOpaque(state, mesh, service, port),
    parentRef: {
      kind: { $case: "resource", value: { group: "core", kind: "Service", name, namespace, section: "", port } },
    },
  };
}

export function podProfile(
  state: ClusterState,
  mesh: MeshConfig,
  pod: PodView,
  ip: string,
  port: number,
): DestinationProfile {
  const target = targetPort(pod, ip, port);
  const zone = state.zoneOf(pod.nodeName);
  const address = podAddress(state, mesh, pod, target.ip, target.port, zone);
  return {
    ...EMPTY,
    opaqueProtocol: isOpaque(state, mesh, pod, target.port),
    endpoint: { ...address, metricLabels: { ...address.metricLabels, namespace: pod.metadata.namespace ?? "" } },
  };
}

/** An address outside the mesh, or of nothing known. */
export function addressProfile(mesh: MeshConfig, ip: string, port: number): DestinationProfile {
  return { ...EMPTY, opaqueProtocol: mesh.opaquePorts.includes(port), endpoint: bareAddress(ip, port) };
}

/** A port of the node stands for the pod's own: there its proxy listens. */
export function targetPort(pod: PodView, ip: string, port: number): { readonly ip: string; readonly port: number } {
  if (pod.ips.includes(ip) && !pod.hostNetwork) return { ip, port };
  const mapped = pod.ports.find(({ hostPort }) => hostPort === port);
  return { ip: pod.ips[0] ?? ip, port: mapped?.port ?? port };
}
