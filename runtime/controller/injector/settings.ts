/** What one pod's proxy is to be: the pod's annotations before the namespace's before the mesh's configuration. */

import { isIP } from "node:net";
import { parseDuration } from "../../model/duration.ts";
import type { DefaultInboundPolicy, MeshConfig } from "../../model/mesh-config.ts";
import { annotation, CONFIG_ANNOTATION_PREFIX, PROXY_UID } from "../../model/names.ts";
import { type PortRange, port } from "../../model/ports.ts";
import { DEFAULT_SKIPPED_PORTS, formatPortSet, parsePortSet } from "../config/port-sets.ts";
import { type Annotations, type EnvVar, type Pod, runningContainers, tcpPorts } from "./pod.ts";

export interface ProxySettings {
  readonly ports: {
    readonly inbound: number;
    readonly outbound: number;
    readonly admin: number;
    readonly control: number;
  };
  readonly uid: number;
  readonly gid: number | undefined;
  readonly logLevel: string;
  readonly logFormat: "plain" | "json";
  readonly resources: {
    readonly requests?: Readonly<Record<string, string>>;
    readonly limits?: Readonly<Record<string, string>>;
  };
  readonly defaultInboundPolicy: DefaultInboundPolicy;
  readonly opaquePorts: readonly PortRange[];
  readonly skipInboundPorts: readonly PortRange[];
  readonly skipOutboundPorts: readonly PortRange[];
  readonly skipSubnets: readonly string[];
  /** A sidecar container in initContainers (Kubernetes ≥ 1.29), or one among the application's. */
  readonly nativeSidecar: boolean;
  /** The application starts only after the proxy is ready. */
  readonly await: boolean;
  /** Only where the proxy is no native sidecar. */
  readonly waitBeforeExitSeconds: number;
  readonly tap: boolean;
  /** Values of annotations that become environment as they stand: name without prefix → value. */
  readonly timings: Readonly<Record<string, string>>;
  readonly additionalEnv: readonly EnvVar[];
}

/** Annotations that a namespace hands down, the pod's own winning. */
export function effectiveAnnotations(pod: Pod, namespaceAnnotations: Annotations): Record<string, string> {
  const inherited = Object.entries(namespaceAnnotations).filter(([key]) => key.startsWith(CONFIG_ANNOTATION_PREFIX));
  return { ...Object.fromEntries(inherited), ...pod.metadata.annotations };
}

const POLICIES: readonly string[] = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
];
const QUANTITY = /^\d+(\.\d+)?([eE]\d+|[numkMGTPE]|[KMGTPE]i)?$/;
const LEGACY_NATIVE = [
  "config.beta.linkerd.io/proxy-enable-native-sidecar",
  "config.alpha.linkerd.io/proxy-enable-native-sidecar",
];
/** Annotation → environment name; values are durations. */
const DURATIONS: Readonly<Record<string, string>> = {
  "proxy-outbound-connect-timeout": "OUTBOUND_CONNECT_TIMEOUT",
  "proxy-inbound-connect-timeout": "INBOUND_CONNECT_TIMEOUT",
  "proxy-outbound-discovery-cache-unused-timeout": "OUTBOUND_DISCOVERY_IDLE_TIMEOUT",
  "proxy-inbound-discovery-cache-unused-timeout": "INBOUND_DISCOVERY_IDLE_TIMEOUT",
  "shutdown-grace-period": "SHUTDOWN_GRACE_PERIOD",
};
const UNDETECTED: Readonly<Record<string, string>> = {
  "proxy-disable-outbound-protocol-detect-timeout": "OUTBOUND_DETECT_TIMEOUT",
  "proxy-disable-inbound-protocol-detect-timeout": "INBOUND_DETECT_TIMEOUT",
};

/**
 * A value that makes no sense is left out and told in `warnings` (they reach the user through the API server): a typing
 * error in an annotation must not keep a pod from starting.
 */
export function proxySettings(
  pod: Pod,
  namespaceAnnotations: Annotations,
  mesh: MeshConfig,
): { settings: ProxySettings; warnings: string[] } {
  const all = effectiveAnnotations(pod, namespaceAnnotations);
  const warnings: string[] = [];
  const read = <T>(key: string, parse: (text: string) => T | undefined, fallback: T): T => {
    const text = all[key]?.trim();
    if (text === undefined || text === "") return fallback;
    const value = parse(text);
    if (value !== undefined) return value;
    warnings.push(`annotation ${key}: "${text}" makes no sense and is ignored`);
    return fallback;
  };
  const config = (name: string): string => `${CONFIG_ANNOTATION_PREFIX}${name}`;
  const number = (name: string, fallback: number, max: number): number =>
    read(config(name), (text) => (/^\d+$/.test(text) && Number(text) <= max ? Number(text) : undefined), fallback);
  const named = runningContainers(pod)
    .flatMap(tcpPorts)
    .map(({ name, containerPort }) => ({ port: containerPort, ...(name === undefined ? {} : { name }) }));
  const portSet = (key: string, fallback: string): PortRange[] => {
    const { ranges, unknown } = parsePortSet(all[key] ?? fallback, named);
    for (const part of unknown)
      warnings.push(`annotation ${key}: "${part}" is no port, range or port name and is ignored`);
    return ranges;
  };
  const enabled = (key: string, fallback: boolean): boolean =>
    read(key, (text) => ({ true: true, enabled: true, false: false, disabled: false })[text], fallback);

  const timings: Record<string, string> = {};
  for (const [name, env] of Object.entries(DURATIONS)) {
    const value = read(config(name), (text) => (parseDuration(text) === undefined ? undefined : text), "");
    if (value !== "") timings[env] = value;
  }
  for (const [name, env] of Object.entries(UNDETECTED)) {
    if (enabled(config(name), false)) timings[env] = "365d";
  }

  const resources = {
    requests: quantities(mesh.proxy.resources.requests, {
      cpu: annotation.proxyCpuRequest,
      memory: annotation.proxyMemoryRequest,
    }),
    limits: quantities(mesh.proxy.resources.limits, {
      cpu: annotation.proxyCpuLimit,
      memory: annotation.proxyMemoryLimit,
    }),
  };
  function quantities(
    base: Readonly<Record<string, string>> | undefined,
    keys: Readonly<Record<string, string>>,
  ): Record<string, string> {
    const merged = { ...base };
    for (const [name, key] of Object.entries(keys)) {
      const value = read(key, (text) => (QUANTITY.test(text) ? text : undefined), "");
      if (value !== "") merged[name] = value;
    }
    return merged;
  }

  const settings: ProxySettings = {
    ports: {
      inbound: number("inbound-port", port.inbound, 65535),
      outbound: number("outbound-port", port.outbound, 65535),
      admin: number("admin-port", port.admin, 65535),
      control: number("control-port", port.control, 65535),
    },
    uid: number("proxy-uid", PROXY_UID, 2 ** 31 - 1),
    gid: all[config("proxy-gid")] === undefined ? undefined : number("proxy-gid", PROXY_UID, 2 ** 31 - 1),
    logLevel: all[annotation.proxyLogLevel] ?? mesh.proxy.logLevel,
    logFormat: read(
      config("proxy-log-format"),
      (text) => (text === "json" || text === "plain" ? text : undefined),
      "plain",
    ),
    resources,
    defaultInboundPolicy: read(
      annotation.defaultInboundPolicy,
      (text) => (POLICIES.includes(text) ? (text as DefaultInboundPolicy) : undefined),
      mesh.defaultInboundPolicy,
    ),
    opaquePorts: portSet(annotation.opaquePorts, mesh.opaquePorts.join(",")),
    skipInboundPorts: portSet(annotation.skipInboundPorts, DEFAULT_SKIPPED_PORTS),
    skipOutboundPorts: portSet(annotation.skipOutboundPorts, DEFAULT_SKIPPED_PORTS),
    skipSubnets: read(annotation.skipSubnets, subnets, []),
    nativeSidecar: enabled(
      [annotation.proxyNativeSidecar, ...LEGACY_NATIVE].find((key) => all[key] !== undefined) ??
        annotation.proxyNativeSidecar,
      true,
    ),
    await: enabled(annotation.proxyAwait, true),
    waitBeforeExitSeconds: read(
      "config.alpha.linkerd.io/proxy-wait-before-exit-seconds",
      (text) => (/^\d{1,5}$/.test(text) ? Number(text) : undefined),
      0,
    ),
    tap: ![pod.metadata.annotations, namespaceAnnotations].some((from) => from?.[annotation.disableTap] === "true"),
    timings,
    additionalEnv: additionalEnv([namespaceAnnotations, pod.metadata.annotations ?? {}], warnings),
  };
  return { settings, warnings };
}

/** The annotation for an injected pod: what was set, or the default ports that its containers open. */
export function opaquePortsAnnotation(
  pod: Pod,
  settings: ProxySettings,
  declared: string | undefined,
): string | undefined {
  if (declared !== undefined) return declared;
  const open = new Set(
    runningContainers(pod)
      .flatMap(tcpPorts)
      .map(({ containerPort }) => containerPort),
  );
  const opaque = settings.opaquePorts.filter(({ first, last }) => first === last && open.has(first));
  return opaque.length === 0 ? undefined : formatPortSet(opaque);
}

function subnets(text: string): string[] | undefined {
  const parts = text.split(",").map((part) => part.trim());
  const valid = parts.every((part) => {
    const [address = "", length, ...rest] = part.split("/");
    // The rules are IPv4's.
    return (
      isIP(address) === 4 &&
      rest.length === 0 &&
      (length === undefined || (/^\d{1,2}$/.test(length) && Number(length) <= 32))
    );
  });
  return valid ? parts : undefined;
}

/** JSON lists of EnvVar, merged by name: the later list wins. */
function additionalEnv(from: readonly Annotations[], warnings: string[]): EnvVar[] {
  const key = `${CONFIG_ANNOTATION_PREFIX}proxy-additional-env`;
  const merged = new Map<string, EnvVar>();
  for (const annotations of from) {
    const text = annotations[key];
    if (text === undefined) continue;
    try {
      const list: unknown = JSON.parse(text);
      if (!Array.isArray(list) || !list.every(isEnvVar)) throw new Error("not a list of {name, value}");
      for (const entry of list) merged.set(entry.name, entry);
    } catch {
      warnings.push(`annotation ${key} is no JSON list of environment variables and is ignored`);
    }
  }
  return [...merged.values()];
}

function isEnvVar(value: unknown): value is EnvVar {
  return typeof value === "object" && value !== null && typeof (value as { name?: unknown }).name === "string";
}
