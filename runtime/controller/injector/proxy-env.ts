/** Environment of an injected proxy (reference 4; ARCHITECTURE.md for the names of Weft's own). */
import { BUNDLE_DIGESTS_ENV, BUNDLE_SCRATCH_ENV, PROXY_NODE_ENV } from "../../model/bundle.ts";
import { CONTROLLER_SERVICE_ACCOUNT, controlService, workloadIdentity } from "../../model/identity.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { TRUST_ROOTS } from "../../model/names.ts";
import { port } from "../../model/ports.ts";
import { formatPortSet } from "../config/port-sets.ts";
import { type Container, type EnvVar, type Pod, type Probe, runningContainers, tcpPorts } from "./pod.ts";
import type { ProxySettings } from "./settings.ts";

/** Mount paths in the proxy's container. */
export const proxyPath = {
  token: "/var/run/secrets/tokens",
  trustRoots: "/var/run/linkerd/identity/trust-roots",
  scratch: "/weft/scratch",
} as const;

export const IDENTITY_TOKEN_FILE = "linkerd-identity-token";

const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const value = (name: string, text: string): EnvVar => ({ name, value: text });

export function proxyEnv(pod: Pod, settings: ProxySettings, mesh: MeshConfig, options: { ingress: boolean }): EnvVar[] {
  const { ports } = settings;
  const networks = mesh.clusterNetworks.join(",");
  const controlIdentity = workloadIdentity(mesh, mesh.controlPlaneNamespace, CONTROLLER_SERVICE_ACCOUNT);
  const address = (service: string, number: number): string =>
    // The final dot keeps the resolver from trying its search domains.
    `${service}.${mesh.controlPlaneNamespace}.svc.${mesh.clusterDomain}.:${number}`;
  const own: Record<string, string> = {
    LOG: settings.logLevel,
    LOG_FORMAT: settings.logFormat,
    DESTINATION_SVC_ADDR: address(controlService.destination, port.destination),
    DESTINATION_SVC_NAME: controlIdentity,
    DESTINATION_PROFILE_NETWORKS: networks,
    DESTINATION_PROFILE_SUFFIXES: `svc.${mesh.clusterDomain}.`,
    DESTINATION_CONTEXT: '{"ns":"$(_pod_ns)", "nodeName":"$(_pod_nodeName)", "pod":"$(_pod_name)"}',
    POLICY_SVC_ADDR: address(controlService.policy, port.policy),
    POLICY_SVC_NAME: controlIdentity,
    POLICY_WORKLOAD: '{"ns":"$(_pod_ns)", "pod":"$(_pod_name)"}',
    POLICY_CLUSTER_NETWORKS: networks,
    CONTROL_STREAM_INITIAL_TIMEOUT: "3s",
    CONTROL_STREAM_IDLE_TIMEOUT: "5m",
    CONTROL_STREAM_LIFETIME: "1h",
    INBOUND_LISTEN_ADDR: `0.0.0.0:${ports.inbound}`,
    OUTBOUND_LISTEN_ADDR: `127.0.0.1:${ports.outbound}`,
    OUTBOUND_LISTEN_ADDRS: `127.0.0.1:${ports.outbound}`,
    CONTROL_LISTEN_ADDR: `0.0.0.0:${ports.control}`,
    ADMIN_LISTEN_ADDR: `0.0.0.0:${ports.admin}`,
    INBOUND_DEFAULT_POLICY: settings.defaultInboundPolicy,
    INBOUND_PORTS: inboundPorts(pod),
    INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: formatPortSet(settings.opaquePorts),
    INBOUND_CONNECT_TIMEOUT: "100ms",
    INBOUND_ACCEPT_KEEPALIVE: "10000ms",
    INBOUND_DISCOVERY_IDLE_TIMEOUT: "90s",
    OUTBOUND_CONNECT_TIMEOUT: "1000ms",
    OUTBOUND_CONNECT_KEEPALIVE: "10000ms",
    OUTBOUND_DISCOVERY_IDLE_TIMEOUT: "5s",
    IDENTITY_LOCAL_NAME: workloadIdentity(mesh, "$(_pod_ns)", "$(_pod_sa)"),
    IDENTITY_TOKEN_FILE: `${proxyPath.token}/${IDENTITY_TOKEN_FILE}`,
    IDENTITY_SVC_ADDR: address(controlService.identity, port.identity),
    IDENTITY_SVC_NAME: controlIdentity,
    ...(settings.tap ? { TAP_SVC_NAME: controlIdentity } : {}),
    ...(options.ingress ? { INGRESS_MODE: "true" } : {}),
    ...settings.timings,
  };
  const env: EnvVar[] = [
    field("_pod_name", "metadata.name"),
    field("_pod_ns", "metadata.namespace"),
    field("_pod_nodeName", "spec.nodeName"),
    field("_pod_sa", "spec.serviceAccountName"),
    field("LINKERD2_PROXY_INBOUND_IPS", "status.podIPs"),
    ...Object.entries(own).map(([name, text]) => value(`LINKERD2_PROXY_${name}`, text)),
    value("WEFT_TRUST_BUNDLE_FILE", `${proxyPath.trustRoots}/${TRUST_ROOTS.key}`),
    value(BUNDLE_DIGESTS_ENV, JSON.stringify(mesh.proxy.digests)),
    value(BUNDLE_SCRATCH_ENV, proxyPath.scratch),
    ...Object.entries(PROXY_NODE_ENV).map(([name, text]) => value(name, text)),
  ];
  const replaced = new Set(settings.additionalEnv.map(({ name }) => name));
  return [...env.filter(({ name }) => !replaced.has(name)), ...settings.additionalEnv];
}

/** Every TCP port of the containers and every numbered port of an HTTP probe, sorted as text (reference 3.3). */
export function inboundPorts(pod: Pod): string {
  const ports = new Set<number>();
  for (const container of runningContainers(pod)) {
    for (const { containerPort } of tcpPorts(container)) ports.add(containerPort);
    for (const probe of probes(container)) {
      if (typeof probe.httpGet?.port === "number") ports.add(probe.httpGet.port);
    }
  }
  return [...ports].map(String).sort().join(",");
}

function probes(container: Container): Probe[] {
  return [container.livenessProbe, container.readinessProbe, container.startupProbe].filter(
    (probe) => probe !== undefined,
  );
}
