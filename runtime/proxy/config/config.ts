/**
 * What a proxy is told by its environment: Linkerd's names and defaults (reference 4), and WEFT_* where Linkerd has none.
 * `docs/proxy-environment.md` tells people; a test holds it to this.
 */
import type { DefaultInboundPolicy } from "../../model/mesh-config.ts";
import type { PortRange } from "../../model/ports.ts";
import type { AccessLogFormat } from "../access-log/format.ts";
import type { Http2Limits, Http2Windows } from "../http2/limits.ts";
import { parseLogFilter } from "../log.ts";
import type { Network } from "../policy/networks.ts";
import type { ResourceTexts } from "../trace/resource.ts";
import type { Liveness, SocketSettings } from "../transport/socket-settings.ts";
import type { Address } from "../transport/stream.ts";
import { type ConnectBackoff, readConnectBackoff } from "./connect-backoff.ts";
import { ConfigError, type ControlAddress, Environment } from "./environment.ts";
import { readHttp2Limits, readHttp2Windows } from "./http2.ts";
import { type QueueLimits, readQueueLimits } from "./queue-limits.ts";
import { readWithoutEffect } from "./without-effect.ts";

export interface StreamLimits {
  /** Reset when the first message takes longer, milliseconds. */
  readonly initialMs?: number;
  /** Reset when there was no message for so long. */
  readonly idleMs?: number;
  /** Re-opened when older. */
  readonly lifetimeMs?: number;
}

export interface ProxyConfig {
  readonly identity: {
    readonly name: string;
    readonly tokenFile: string;
    readonly address: ControlAddress;
    /** PEM given inline, or the file that is read again when it changes. */
    readonly anchors: { readonly pem: string } | { readonly file: string };
    readonly minRefreshMs: number;
    readonly maxRefreshMs: number;
  };
  readonly destination: {
    readonly address: ControlAddress;
    readonly context: string;
    readonly profileNetworks: readonly Network[];
  };
  readonly policy: {
    readonly address: ControlAddress;
    readonly workload: string;
  };
  readonly streams: StreamLimits;
  /** Bounds of what DNS says of its answers' lives. */
  readonly dns: { readonly minTtlMs?: number; readonly maxTtlMs?: number };
  readonly inbound: {
    readonly listen: Address;
    readonly defaultPolicy: DefaultInboundPolicy;
    readonly clusterNetworks: readonly Network[];
    /** Ports whose policy is watched from the start. */
    readonly ports: readonly number[];
    readonly opaquePorts: readonly PortRange[];
    /** Empty: any. */
    readonly ips: readonly string[];
    readonly detectTimeoutMs: number;
    readonly connectTimeoutMs: number;
    /** Absent: what tries to connect has pauses of its own. */
    readonly connectBackoff?: ConnectBackoff;
    readonly poolIdleMs: number;
    readonly discoveryIdleMs: number;
    readonly maxIdlePerEndpoint: number;
    readonly maxInFlight: number;
    /** Whether series of requests have the label `authority`. */
    readonly authorityLabels: boolean;
    /** Names that a gateway leads to: lower case, without dots at either end. Empty: it is none. */
    readonly gatewaySuffixes: readonly string[];
    readonly backlog: number;
    readonly sockets: Required<Pick<SocketSettings, "accept" | "connect">>;
    readonly http2: Http2Limits;
  };
  readonly outbound: {
    /** One or two. */
    readonly listen: readonly Address[];
    readonly detectTimeoutMs: number;
    readonly connectTimeoutMs: number;
    /** Absent: what tries to connect has pauses of its own. */
    readonly connectBackoff?: ConnectBackoff;
    readonly poolIdleMs: number;
    readonly discoveryIdleMs: number;
    readonly maxIdlePerEndpoint: number;
    readonly backlog: number;
    readonly sockets: Required<Pick<SocketSettings, "accept" | "connect">>;
    readonly http2: Http2Limits;
    readonly informationalHeaders: boolean;
    readonly maxInFlight: number;
    /** Whether series of routes have the label `hostname`. */
    readonly hostnameLabels: boolean;
    /** Requests go where their l5d-dst-override says. */
    readonly ingress: boolean;
    /** Of balancers; what is absent is as the policy of each says. */
    readonly queues: { readonly http: QueueLimits; readonly tcp: QueueLimits };
  };
  /** HTTP2_INITIAL_*: of connections to servers, on both sides. */
  readonly http2Windows: Http2Windows;
  readonly admin: Address;
  readonly tap: { readonly listen: Address; readonly clientName?: string };
  readonly log: { readonly filter: string; readonly format: "plain" | "json" };
  readonly accessLog?: AccessLogFormat;
  /** Absent: no spans. */
  readonly trace?: { readonly collector: ControlAddress; readonly resource: ResourceTexts };
  readonly metricsRetainIdleMs: number;
  /** How long a client may take for an HTTP/1 head that it has begun; 0: for ever. */
  readonly headTimeoutMs: number;
  readonly shutdown: { readonly endpoint: boolean; readonly graceMs: number };
  readonly transport?: string;
  readonly originalDestinationAddon?: string;
  /** Variables that are set and well-formed, and have no effect, each with the reason. */
  readonly ignored: ReadonlyMap<string, string>;
}

const PREFIX = "LINKERD2_PROXY_";
/** The kernel cuts it down to net.core.somaxconn. */
const DEFAULT_BACKLOG = 4096;
const DEFAULT_KEEP_ALIVE_MS = 10_000;
const DEFAULT_POLICIES: readonly DefaultInboundPolicy[] = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
];

/** @throws ConfigError naming the first variable that is missing or wrong */
export function readConfig(variables: Readonly<Record<string, string | undefined>>): ProxyConfig {
  const env = new Environment(variables);
  const name = (suffix: string): string => PREFIX + suffix;
  if (env.text(name("IDENTITY_DISABLED")) !== undefined) {
    throw new ConfigError(name("IDENTITY_DISABLED"), "a proxy without identity is not supported; unset it");
  }
  const inboundListen = env.address(name("INBOUND_LISTEN_ADDR"), { ip: "0.0.0.0", port: 4143 });
  const admin = env.address(name("ADMIN_LISTEN_ADDR"), { ip: "127.0.0.1", port: 4191 });
  const filter = env.text(name("LOG")) ?? "warn,linkerd=info";
  if (parseLogFilter(filter) === undefined) throw new ConfigError(name("LOG"), `"${filter}" is not a log filter`);
  const clientName = env.text(name("TAP_SVC_NAME"));
  const transport = env.oneOf("WEFT_TRANSPORT", ["handles", "sockets"]);
  const addon = env.text("WEFT_ORIGINAL_DST_ADDON");
  const accessLog = env.oneOf(name("ACCESS_LOG"), ["apache", "json"], { anyCase: true });
  const trace = readTrace(env, name);
  return {
    identity: {
      name: readIdentityName(env, name),
      tokenFile: env.required(name("IDENTITY_TOKEN_FILE")),
      address: env.requiredControlAddress(name("IDENTITY_SVC")),
      anchors: readAnchors(env, name),
      minRefreshMs: env.duration(name("IDENTITY_MIN_REFRESH"), 10_000),
      maxRefreshMs: env.duration(name("IDENTITY_MAX_REFRESH"), 86_400_000),
    },
    destination: {
      address: env.requiredControlAddress(name("DESTINATION_SVC")),
      context: env.text(name("DESTINATION_CONTEXT")) ?? "",
      profileNetworks: env.networks(name("DESTINATION_PROFILE_NETWORKS")),
    },
    policy: {
      address: env.requiredControlAddress(name("POLICY_SVC")),
      workload: env.required(name("POLICY_WORKLOAD")),
    },
    streams: readStreamLimits(env, name),
    dns: readDns(env, name),
    inbound: { listen: inboundListen, ...readInbound(env, name, admin.port, inboundListen.port) },
    outbound: readOutbound(env, name),
    http2Windows: readHttp2Windows(env, name("HTTP2")),
    admin,
    tap: {
      listen: env.address(name("CONTROL_LISTEN_ADDR"), { ip: "0.0.0.0", port: 4190 }),
      ...(clientName === undefined ? {} : { clientName }),
    },
    log: { filter, format: env.oneOf(name("LOG_FORMAT"), ["plain", "json"], { anyCase: true }) ?? "plain" },
    ...(accessLog === undefined ? {} : { accessLog }),
    ...(trace === undefined ? {} : { trace }),
    headTimeoutMs: env.duration("WEFT_HTTP1_HEAD_TIMEOUT", 30_000),
    metricsRetainIdleMs: env.duration(name("METRICS_RETAIN_IDLE"), 600_000),
    shutdown: {
      endpoint: env.boolean(name("SHUTDOWN_ENDPOINT_ENABLED"), false),
      graceMs: env.duration(name("SHUTDOWN_GRACE_PERIOD"), 120_000),
    },
    ...(transport === undefined ? {} : { transport }),
    ...(addon === undefined ? {} : { originalDestinationAddon: addon }),
    ignored: readWithoutEffect(env, PREFIX),
  };
}

type Name = (suffix: string) => string;

/** Both of the pair stand for one name: certificates that the mesh issues have no other form. */
function readIdentityName(env: Environment, name: Name): string {
  const local = env.text(name("IDENTITY_LOCAL_NAME"));
  if (local !== undefined) return local;
  const id = env.text(name("IDENTITY_SERVER_ID"));
  const serverName = env.text(name("IDENTITY_SERVER_NAME"));
  if (id === undefined && serverName === undefined) return env.required(name("IDENTITY_LOCAL_NAME"));
  if (id !== serverName) {
    throw new ConfigError(name("IDENTITY_SERVER_ID"), `must be the same as ${name("IDENTITY_SERVER_NAME")}`);
  }
  return env.required(name("IDENTITY_SERVER_ID"));
}

function readAnchors(env: Environment, name: Name): { pem: string } | { file: string } {
  const file = env.text("WEFT_TRUST_BUNDLE_FILE");
  if (file !== undefined) return { file };
  const pem = env.text(name("IDENTITY_TRUST_ANCHORS"));
  if (pem === undefined) {
    throw new ConfigError(name("IDENTITY_TRUST_ANCHORS"), "is required where WEFT_TRUST_BUNDLE_FILE is not set");
  }
  return { pem };
}

function readTrace(env: Environment, name: Name): ProxyConfig["trace"] {
  const collector = env.controlAddress(name("TRACE_COLLECTOR_SVC"));
  if (collector === undefined) return undefined;
  const attributesPath = env.text(name("TRACE_ATTRIBUTES_PATH"));
  const extra = env.text(name("TRACE_EXTRA_ATTRIBUTES"));
  const otel = env.text("OTEL_RESOURCE_ATTRIBUTES");
  return {
    collector,
    resource: {
      serviceName: env.text(name("TRACE_SERVICE_NAME")) ?? "linkerd-proxy",
      hostName: env.text("HOSTNAME") ?? "",
      ...(attributesPath === undefined ? {} : { attributesPath }),
      ...(extra === undefined ? {} : { extra }),
      ...(otel === undefined ? {} : { otel }),
    },
  };
}

function readStreamLimits(env: Environment, name: Name): StreamLimits {
  const initialMs = env.duration(name("CONTROL_STREAM_INITIAL_TIMEOUT"));
  const idleMs = env.duration(name("CONTROL_STREAM_IDLE_TIMEOUT"));
  const lifetimeMs = env.duration(name("CONTROL_STREAM_LIFETIME"));
  const given = [initialMs, idleMs, lifetimeMs].filter((limit) => limit !== undefined);
  if (given.some((limit, index) => limit <= (given[index - 1] ?? 0))) {
    throw new ConfigError(
      name("CONTROL_STREAM_LIFETIME"),
      "the initial timeout must be shorter than the idle timeout, and that shorter than the lifetime",
    );
  }
  return {
    ...(initialMs === undefined ? {} : { initialMs }),
    ...(idleMs === undefined ? {} : { idleMs }),
    ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
  };
}

function readDns(env: Environment, name: Name): ProxyConfig["dns"] {
  const minTtlMs = env.duration(name("DNS_MIN_TTL"));
  const maxTtlMs = env.duration(name("DNS_MAX_TTL"));
  return { ...(minTtlMs === undefined ? {} : { minTtlMs }), ...(maxTtlMs === undefined ? {} : { maxTtlMs }) };
}

function readInbound(
  env: Environment,
  name: Name,
  adminPort: number,
  ownPort: number,
): Omit<ProxyConfig["inbound"], "listen"> {
  const defaultPolicy = env.oneOf(name("INBOUND_DEFAULT_POLICY"), DEFAULT_POLICIES) ?? "all-unauthenticated";
  const clusterNetworks = env.networks(name("POLICY_CLUSTER_NETWORKS"));
  if (defaultPolicy.startsWith("cluster-") && clusterNetworks.length === 0) {
    throw new ConfigError(name("POLICY_CLUSTER_NETWORKS"), `is required by the default policy "${defaultPolicy}"`);
  }
  const ports = new Set<number>();
  for (const { first, last } of env.ports(name("INBOUND_PORTS"))) {
    for (let port = first; port <= last; port++) ports.add(port);
  }
  if (adminPort !== 0) ports.add(adminPort);
  const gatewaySuffixes = env
    .list(name("INBOUND_GATEWAY_SUFFIXES"))
    .map((suffix) => suffix.toLowerCase().replace(/^\.|\.$/g, ""))
    .filter((suffix) => suffix !== "");
  const connectBackoff = readConnectBackoff(env, name("INBOUND_CONNECT"));
  // Its policy says who may come in.
  if (gatewaySuffixes.length > 0 && ownPort !== 0) ports.add(ownPort);
  return {
    defaultPolicy,
    clusterNetworks,
    ports: [...ports],
    opaquePorts: env.ports(name("INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION")),
    ips: env.ips(name("INBOUND_IPS")),
    detectTimeoutMs: env.duration(name("INBOUND_DETECT_TIMEOUT"), 10_000),
    connectTimeoutMs: env.duration(name("INBOUND_CONNECT_TIMEOUT"), 300),
    ...(connectBackoff === undefined ? {} : { connectBackoff }),
    poolIdleMs: env.duration(name("INBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT"), 3_000),
    discoveryIdleMs: env.duration(name("INBOUND_DISCOVERY_IDLE_TIMEOUT"), 90_000),
    // Linkerd's name for it, although it is the inbound side's.
    maxIdlePerEndpoint: env.integer(name("MAX_IDLE_CONNS_PER_ENDPOINT"), 10_000),
    maxInFlight: env.integer(name("INBOUND_MAX_IN_FLIGHT"), 100_000),
    // Linkerd's word for it, in any case.
    authorityLabels: env.oneOf(name("INBOUND_METRICS_AUTHORITY_LABELS"), ["unsafe"], { anyCase: true }) !== undefined,
    gatewaySuffixes,
    backlog: env.integer(name("INBOUND_TCP_LISTEN_BACKLOG"), DEFAULT_BACKLOG),
    sockets: readSockets(env, name, "INBOUND"),
    http2: readHttp2Limits(env, name("INBOUND_SERVER_HTTP2")),
  };
}

function readOutbound(env: Environment, name: Name): ProxyConfig["outbound"] {
  const ingress = env.boolean(name("INGRESS_MODE"), false);
  const several = env.addresses(name("OUTBOUND_LISTEN_ADDRS"));
  if (several.length > 2) throw new ConfigError(name("OUTBOUND_LISTEN_ADDRS"), "takes one or two addresses");
  const connectBackoff = readConnectBackoff(env, name("OUTBOUND_CONNECT"));
  const single = env.address(name("OUTBOUND_LISTEN_ADDR"), { ip: "127.0.0.1", port: 4140 });
  return {
    listen: several.length > 0 ? several : [single],
    detectTimeoutMs: env.duration(name("OUTBOUND_DETECT_TIMEOUT"), 10_000),
    connectTimeoutMs: env.duration(name("OUTBOUND_CONNECT_TIMEOUT"), 1_000),
    ...(connectBackoff === undefined ? {} : { connectBackoff }),
    poolIdleMs: env.duration(name("OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT"), 3_000),
    discoveryIdleMs: env.duration(name("OUTBOUND_DISCOVERY_IDLE_TIMEOUT"), 5_000),
    maxIdlePerEndpoint: env.integer(name("OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT"), 10_000),
    backlog: env.integer(name("OUTBOUND_TCP_LISTEN_BACKLOG"), DEFAULT_BACKLOG),
    sockets: readSockets(env, name, "OUTBOUND"),
    http2: readHttp2Limits(env, name("OUTBOUND_SERVER_HTTP2")),
    maxInFlight: env.integer(name("OUTBOUND_MAX_IN_FLIGHT"), 100_000),
    hostnameLabels: env.boolean(name("OUTBOUND_METRICS_HOSTNAME_LABELS"), false),
    informationalHeaders: !env.boolean(name("OUTBOUND_DISABLE_INFORMATIONAL_HEADERS"), ingress),
    ingress,
    queues: {
      http: readQueueLimits(env, name("OUTBOUND_HTTP")),
      tcp: readQueueLimits(env, name("OUTBOUND_TCP")),
    },
  };
}

/** Linkerd's binary leaves keep-alive off and its template sets 10 s on one side each: here a peer that is gone is always noticed. */
function readSockets(
  env: Environment,
  name: Name,
  side: "INBOUND" | "OUTBOUND",
): Required<Pick<SocketSettings, "accept" | "connect">> {
  const liveness = (what: "ACCEPT" | "CONNECT"): Required<Liveness> => ({
    keepAliveMs: env.duration(name(`${side}_${what}_KEEPALIVE`), DEFAULT_KEEP_ALIVE_MS),
    userTimeoutMs: env.duration(name(`${side}_${what}_USER_TIMEOUT`), 0),
  });
  return { accept: liveness("ACCEPT"), connect: liveness("CONNECT") };
}
