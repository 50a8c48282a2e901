/** What discovery and policy keep of Kubernetes' objects. 10,000 pods must fit: everything else is dropped on arrival. */
import type { KubeObject, ObjectMeta, OwnerReference } from "../../kube/types.ts";
import { annotation, CONFIG_ANNOTATION_PREFIX, container, label } from "../../model/names.ts";
import { port } from "../../model/ports.ts";

export interface PodPort {
  readonly name?: string;
  readonly port: number;
  readonly hostPort?: number;
}

/** A path that the kubelet asks for on a port. */
export interface ProbePath {
  readonly port: number;
  readonly path: string;
}

export interface PodView extends KubeObject {
  readonly serviceAccount: string;
  readonly nodeName: string;
  readonly hostNetwork: boolean;
  readonly hostIp: string;
  readonly ips: readonly string[];
  /** Succeeded or Failed: its address may belong to another pod by now. */
  readonly finished: boolean;
  /** TCP, of all containers that run beside each other. */
  readonly ports: readonly PodPort[];
  readonly probes: readonly ProbePath[];
  /** The ports of its proxy; absent: no proxy container. */
  readonly proxy?: { readonly inbound: number; readonly admin: number; readonly control: number };
}

export interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly appProtocol?: string;
}

export interface ServiceView extends KubeObject {
  /** ExternalName Services have no endpoints. */
  readonly external: boolean;
  readonly clusterIps: readonly string[];
  /** TCP. */
  readonly ports: readonly ServicePort[];
  readonly localOnly: boolean;
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly ready: boolean;
  /** Terminating, but still answering. */
  readonly serving: boolean;
  /** `<namespace>/<name>` of the pod behind it. */
  readonly pod?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly hintZones?: readonly string[];
  readonly hostname?: string;
}

export interface SliceView extends KubeObject {
  /** `<namespace>/<name>` */
  readonly service: string;
  readonly family: "IPv4" | "IPv6" | "FQDN";
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly { readonly name: string; readonly port: number }[];
}

export interface NodeView extends KubeObject {
  readonly zone: string;
}

/** Namespaces keep their metadata only. */
export type NamespaceView = KubeObject;

interface RawContainer {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly ports?: readonly { name?: string; containerPort: number; hostPort?: number; protocol?: string }[];
  readonly env?: readonly { name: string; value?: string }[];
  readonly livenessProbe?: RawProbe;
  readonly readinessProbe?: RawProbe;
  readonly startupProbe?: RawProbe;
}

interface RawProbe {
  readonly httpGet?: { readonly path?: string; readonly port: number | string; readonly scheme?: string };
}

interface RawPod extends KubeObject {
  readonly spec?: {
    readonly serviceAccountName?: string;
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly containers?: readonly RawContainer[];
    readonly initContainers?: readonly RawContainer[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly hostIP?: string;
  };
}

const KEPT_LABELS: readonly string[] = [label.controlPlaneNamespace, "pod-template-hash"];
const OWNER_LABEL_PREFIX = label.proxyOwner("");
const KEPT_ANNOTATIONS: readonly string[] = [
  annotation.opaquePorts,
  annotation.skipInboundPorts,
  annotation.defaultInboundPolicy,
];

export function projectPod(object: PodView): PodView {
  const raw = object as unknown as RawPod;
  const { spec = {}, status = {} } = raw;
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  const running = [...(spec.containers ?? []), ...sidecars];
  const proxy = running.find(({ name }) => name === container.proxy);
  const ports = running.flatMap(portsOf);
  const ips = status.podIPs?.map(({ ip }) => ip) ?? (status.podIP === undefined ? [] : [status.podIP]);
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: keptMeta(
      object.metadata,
      (key) => KEPT_LABELS.includes(key) || key.startsWith(OWNER_LABEL_PREFIX),
      (key) => KEPT_ANNOTATIONS.includes(key),
    ),
    serviceAccount: spec.serviceAccountName ?? "default",
    nodeName: spec.nodeName ?? "",
    hostNetwork: spec.hostNetwork ?? false,
    hostIp: status.hostIP ?? "",
    ips,
    finished: status.phase === "Succeeded" || status.phase === "Failed",
    ports,
    // Only a proxy asks for the policy of its pod's ports.
    probes: proxy === undefined ? [] : running.flatMap((entry) => probesOf(entry, ports)),
    ...(proxy === undefined ? {} : { proxy: proxyPorts(proxy) }),
  };
}

export function projectService(object: ServiceView): ServiceView {
  const { spec = {} } = object as unknown as {
    spec?: {
      type?: string;
      clusterIP?: string;
      clusterIPs?: string[];
      ports?: { name?: string; port: number; protocol?: string; appProtocol?: string }[];
      internalTrafficPolicy?: string;
    };
  };
  const addresses = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: keptMeta(
      object.metadata,
      () => false,
      (key) => key.startsWith(CONFIG_ANNOTATION_PREFIX),
    ),
    external: spec.type === "ExternalName",
    clusterIps: addresses.filter((address) => address !== "" && address !== "None"),
    ports: (spec.ports ?? []).filter(isTcp).map((entry) => ({
      port: entry.port,
      ...(entry.name === undefined ? {} : { name: entry.name }),
      ...(entry.appProtocol === undefined ? {} : { appProtocol: entry.appProtocol }),
    })),
    localOnly: spec.internalTrafficPolicy === "Local",
  };
}

export function projectSlice(object: SliceView): SliceView {
  const raw = object as unknown as {
    addressType?: "IPv4" | "IPv6" | "FQDN";
    endpoints?: {
      addresses?: string[];
      conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
      targetRef?: { kind?: string; namespace?: string; name?: string };
      nodeName?: string;
      zone?: string;
      hostname?: string;
      hints?: { forZones?: { name: string }[] };
    }[];
    ports?: { name?: string; port?: number; protocol?: string }[];
  };
  const { metadata } = object;
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: keptMeta(
      metadata,
      () => false,
      () => false,
    ),
    service: `${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"] ?? ""}`,
    family: raw.addressType ?? "IPv4",
    endpoints: (raw.endpoints ?? []).map((endpoint) => {
      const { conditions = {}, targetRef, hints } = endpoint;
      return {
        addresses: endpoint.addresses ?? [],
        // The API says to take an unknown state for ready.
        ready: conditions.ready ?? true,
        serving: conditions.serving === true && conditions.terminating === true,
        ...(targetRef?.kind === "Pod" ? { pod: `${targetRef.namespace}/${targetRef.name}` } : {}),
        ...(endpoint.nodeName === undefined ? {} : { nodeName: endpoint.nodeName }),
        ...(endpoint.zone === undefined ? {} : { zone: endpoint.zone }),
        ...(endpoint.hostname === undefined ? {} : { hostname: endpoint.hostname }),
        ...(hints?.forZones === undefined ? {} : { hintZones: hints.forZones.map(({ name }) => name) }),
      };
    }),
    ports: (raw.ports ?? [])
      .filter(isTcp)
      .flatMap((entry) => (entry.port === undefined ? [] : [{ name: entry.name ?? "", port: entry.port }])),
  };
}

export function projectNode(object: NodeView): NodeView {
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: keptMeta(
      object.metadata,
      () => false,
      () => false,
    ),
    zone: object.metadata.labels?.["topology.kubernetes.io/zone"] ?? "",
  };
}

export function projectNamespace(object: NamespaceView): NamespaceView {
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: keptMeta(
      object.metadata,
      () => false,
      (key) => key.startsWith(CONFIG_ANNOTATION_PREFIX) || key === annotation.inject || key === annotation.disableTap,
    ),
  };
}

function keptMeta(
  meta: ObjectMeta,
  keepLabel: (key: string) => boolean,
  keepAnnotation: (key: string) => boolean,
): ObjectMeta {
  const kept = (map: Record<string, string> | undefined, keep: (key: string) => boolean): Record<string, string> =>
    Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => keep(key)));
  const owner = meta.ownerReferences?.find(({ controller }) => controller === true);
  return {
    name: meta.name,
    ...(meta.namespace === undefined ? {} : { namespace: meta.namespace }),
    ...(meta.uid === undefined ? {} : { uid: meta.uid }),
    ...(meta.resourceVersion === undefined ? {} : { resourceVersion: meta.resourceVersion }),
    labels: kept(meta.labels, keepLabel),
    annotations: kept(meta.annotations, keepAnnotation),
    ...(owner === undefined ? {} : { ownerReferences: [keptOwner(owner)] }),
  };
}

function keptOwner({ apiVersion, kind, name, uid }: OwnerReference): OwnerReference {
  return { apiVersion, kind, name, uid, controller: true };
}

function isTcp(entry: { readonly protocol?: string | undefined }): boolean {
  return entry.protocol === undefined || entry.protocol === "TCP";
}

function portsOf({ ports = [] }: RawContainer): PodPort[] {
  return ports.filter(isTcp).map((entry) => ({
    port: entry.containerPort,
    ...(entry.name === undefined ? {} : { name: entry.name }),
    ...(entry.hostPort === undefined ? {} : { hostPort: entry.hostPort }),
  }));
}

function probesOf(entry: RawContainer, ports: readonly PodPort[]): ProbePath[] {
  return [entry.livenessProbe, entry.readinessProbe, entry.startupProbe].flatMap((probe) => {
    const get = probe?.httpGet;
    // TLS is opaque to the proxy: such a probe has no path there (reference 3.3).
    if (get === undefined || get.scheme === "HTTPS") return [];
    const number = typeof get.port === "number" ? get.port : ports.find(({ name }) => name === get.port)?.port;
    if (number === undefined) return [];
    const path = (get.path ?? "/").replace(/[?#].*$/, "");
    return [{ port: number, path: path.startsWith("/") ? path : `/${path}` }];
  });
}

function proxyPorts({ env = [] }: RawContainer): { inbound: number; admin: number; control: number } {
  const listen = (name: string, fallback: number): number => {
    const address = env.find((entry) => entry.name === `LINKERD2_PROXY_${name}_LISTEN_ADDR`)?.value;
    const number = Number(/:(\d+)$/.exec(address ?? "")?.[1]);
    return number > 0 ? number : fallback;
  };
  return {
    inbound: listen("INBOUND", port.inbound),
    admin: listen("ADMIN", port.admin),
    control: listen("CONTROL", port.control),
  };
}
