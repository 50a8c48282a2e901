/** One address of a pod as proxies learn of it: identity, hints, labels (reference 5.2). */
import type {
  Http2ClientParams,
  ProtocolHint,
  TlsIdentity,
  WeightedAddr,
} from "../../api/gen/io/linkerd/proxy/destination.ts";
import { workloadIdentity } from "../../model/identity.ts";
import { DEFAULT_HTTP2_UPGRADE, type MeshConfig } from "../../model/mesh-config.ts";
import { annotation, label } from "../../model/names.ts";
import { rangesInclude } from "../../model/ports.ts";
import { DEFAULT_SKIPPED_PORTS, parsePortSet } from "../config/port-sets.ts";
import { toTcpAddress } from "./addresses.ts";
import { isOpaque, type Namespaces } from "./opaque-ports.ts";
import type { PodView } from "./projections.ts";

const WEIGHT = 10_000;

/** A peer that vanished is found out, whether or not requests are under way. */
const MESHED_HTTP2: Http2ClientParams = {
  flowControl: undefined,
  keepAlive: { interval: { seconds: 10n, nanos: 0 }, timeout: { seconds: 3n, nanos: 0 }, whileIdle: true },
  internals: undefined,
};

/** Labels of a pod that name its owner, without the kind. */
const OWNER_PREFIX = label.proxyOwner("");

export function bareAddress(ip: string, port: number, labels: Record<string, string> = {}): WeightedAddr {
  return {
    addr: toTcpAddress(ip, port),
    weight: WEIGHT,
    metricLabels: labels,
    tlsIdentity: undefined,
    protocolHint: undefined,
    authorityOverride: undefined,
    http2: undefined,
    resourceRef: undefined,
  };
}

/** @param zone of the endpoint, as its EndpointSlice or node says */
export function podAddress(
  state: Namespaces,
  mesh: MeshConfig,
  pod: PodView,
  ip: string,
  port: number,
  zone: string,
): WeightedAddr {
  const address = bareAddress(ip, port, podLabels(pod, zone));
  const { proxy } = pod;
  const meshed = pod.metadata.labels?.[label.controlPlaneNamespace] === mesh.controlPlaneNamespace;
  if (proxy === undefined || !meshed || bypassesProxy(pod, port)) return address;
  const identity = workloadIdentity(mesh, pod.metadata.namespace ?? "", pod.serviceAccount);
  const opaque = isOpaque(state, mesh, pod, port);
  const protocol = opaque ? "opaque" : (mesh.http2Upgrade ?? DEFAULT_HTTP2_UPGRADE) ? "h2" : undefined;
  return {
    ...address,
    tlsIdentity: dnsIdentity(identity),
    protocolHint: hint(protocol, proxy.inbound),
    http2: MESHED_HTTP2,
  };
}

export function podLabels(pod: PodView, zone: string): Record<string, string> {
  const controlPlane = pod.metadata.labels?.[label.controlPlaneNamespace];
  const hash = pod.metadata.labels?.["pod-template-hash"];
  const owner = ownerOf(pod);
  return {
    pod: pod.metadata.name,
    serviceaccount: pod.serviceAccount,
    zone,
    ...(owner === undefined ? {} : { [owner.kind]: owner.name }),
    ...(controlPlane === undefined ? {} : { control_plane_ns: controlPlane }),
    ...(hash === undefined ? {} : { pod_template_hash: hash }),
  };
}

/**
 * The injector has written the owner down; of other pods Kubernetes' own naming tells it: a Deployment's ReplicaSet is
 * `<deployment>-<pod-template-hash>`.
 */
function ownerOf(pod: PodView): { readonly kind: string; readonly name: string } | undefined {
  const { labels = {}, ownerReferences } = pod.metadata;
  const written = Object.entries(labels).find(([key]) => key.startsWith(OWNER_PREFIX));
  if (written !== undefined) return { kind: written[0].slice(OWNER_PREFIX.length), name: written[1] };
  const direct = ownerReferences?.[0];
  if (direct === undefined) return undefined;
  const suffix = `-${labels["pod-template-hash"]}`;
  if (direct.kind === "ReplicaSet" && direct.name.endsWith(suffix)) {
    return { kind: "deployment", name: direct.name.slice(0, -suffix.length) };
  }
  return { kind: direct.kind.toLowerCase(), name: direct.name };
}

/** Ports that the redirect leaves alone: nobody would answer TLS there. */
function bypassesProxy(pod: PodView, port: number): boolean {
  if (port === pod.proxy?.admin || port === pod.proxy?.control) return true;
  const skipped = pod.metadata.annotations?.[annotation.skipInboundPorts] ?? DEFAULT_SKIPPED_PORTS;
  return rangesInclude(parsePortSet(skipped, pod.ports).ranges, port);
}

function dnsIdentity(name: string): TlsIdentity {
  return { strategy: { $case: "dnsLikeIdentity", value: { name } }, serverName: { name } };
}

function hint(protocol: "h2" | "opaque" | undefined, inboundPort: number): ProtocolHint {
  return {
    protocol: protocol === undefined ? undefined : { $case: protocol, value: {} },
    opaqueTransport: { inboundPort },
  };
}
