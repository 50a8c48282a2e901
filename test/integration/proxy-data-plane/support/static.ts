/** The control side's answers, given by hand: identity, policies, targets, metrics, tap. */
import { createSecureContext } from "node:tls";
import type { LocalIdentity } from "../../../../runtime/proxy/identity/local-identity.ts";
import type { Labels, ProxyMetrics } from "../../../../runtime/proxy/metrics/series.ts";
import type {
  BalancerParameters,
  Endpoint,
  EndpointSource,
  OutboundTarget,
  OutboundTargets,
} from "../../../../runtime/proxy/outbound/target.ts";
import type { InboundPolicies, InboundServer } from "../../../../runtime/proxy/policy/inbound.ts";
import type { TapHub } from "../../../../runtime/proxy/tap/hub.ts";
import type { Credentials } from "./certificates.ts";

/** @returns the identity, and what tells its listeners of a renewal */
export function staticIdentity({ name, key, certificate, anchors }: Credentials): LocalIdentity & { renew(): void } {
  const listeners = new Set<() => void>();
  const context = createSecureContext({
    key,
    cert: certificate,
    ca: anchors,
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
  });
  return {
    name,
    ready: Promise.resolve(),
    context: () => context,
    validity: undefined,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    renew: () => {
      for (const listener of listeners) listener();
    },
  };
}

export interface PortPolicy {
  readonly protocol?: InboundServer["protocol"];
  readonly detectTimeoutMs?: number;
  /** Paths under it are forbidden; paths under `/nowhere` have no route. */
  readonly forbidden?: string;
  readonly meshedOnly?: boolean;
}

const DEFAULT_ROUTE: Labels = [
  ["route_group", ""],
  ["route_kind", "default"],
  ["route_name", "default"],
];
const PERMIT = {
  labels: [
    ["authz_group", ""],
    ["authz_kind", "default"],
    ["authz_name", "all-unauthenticated"],
  ],
  audit: false,
} as const;
const PLAIN_ROUTE = { labels: DEFAULT_ROUTE, probe: false, edits: undefined, refuse: undefined };

export function staticPolicies(ports: Readonly<Record<string, PortPolicy>>): InboundPolicies {
  const servers = new Map<number, InboundServer>();
  const make = (number: number): InboundServer => {
    const policy = ports[number] ?? {};
    const permitted = (tls: string): boolean => !policy.meshedOnly || tls === "mutual";
    const open = {
      ...PLAIN_ROUTE,
      name: "default",
      authorize: ({ tls }: { tls: string }) => (permitted(tls) ? PERMIT : undefined),
    };
    const shut = { ...PLAIN_ROUTE, name: "shut", authorize: () => undefined };
    return {
      protocol: policy.protocol ?? "detect",
      detectTimeoutMs: policy.detectTimeoutMs ?? 10_000,
      labels: [
        ["srv_group", ""],
        ["srv_kind", "default"],
        ["srv_name", "all-unauthenticated"],
        ["srv_port", String(number)],
      ],
      authorizeConnection: ({ tls }) => (permitted(tls) ? PERMIT : undefined),
      rateLimit: undefined,
      route: ({ path }) => {
        if (path.startsWith("/nowhere")) return undefined;
        return policy.forbidden !== undefined && path.startsWith(policy.forbidden) ? shut : open;
      },
    };
  };
  return {
    port: (number) => {
      const server = servers.get(number) ?? make(number);
      servers.set(number, server);
      return server;
    },
    follow: () => () => undefined,
  };
}

export class StaticSource implements EndpointSource {
  state: EndpointSource["state"] = "ready";
  readonly endpoints = new Map<string, Endpoint>();
  readonly #listeners = new Set<Parameters<EndpointSource["subscribe"]>[0]>();

  set(endpoints: readonly Endpoint[]): void {
    const removed = [...this.endpoints.keys()].filter((key) => !endpoints.some(({ address }) => address === key));
    const added = endpoints.filter(({ address }) => !this.endpoints.has(address));
    for (const key of removed) this.endpoints.delete(key);
    for (const endpoint of added) this.endpoints.set(endpoint.address, endpoint);
    this.state = this.endpoints.size === 0 ? "empty" : "ready";
    for (const listener of this.#listeners) listener({ added, removed });
  }

  subscribe(listener: Parameters<EndpointSource["subscribe"]>[0]): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** A target by its `ip:port`; anything else is forwarded as it is. */
export interface StaticTarget {
  readonly protocol?: OutboundTarget["protocol"];
  readonly detectTimeoutMs?: number;
  readonly endpoints: readonly Endpoint[];
  /** A policy that refuses with this status. */
  readonly refuse?: number;
}

const PARAMETERS: BalancerParameters = {
  defaultRttMs: 30,
  decayMs: 10_000,
  queueCapacity: 100,
  failfastTimeoutMs: 3_000,
};

export class StaticTargets implements OutboundTargets {
  readonly #sources = new Map<string, StaticSource>();
  readonly #targets = new Map<string, OutboundTarget>();

  set(name: string, target: StaticTarget): void {
    if (target.refuse !== undefined) {
      const backend = { kind: "fail", status: target.refuse, message: "traffic not allowed" } as const;
      this.#targets.set(name, { protocol: "detect", detectTimeoutMs: 10_000, backend, labels: [] });
      return;
    }
    const source = this.#sources.get(name) ?? new StaticSource();
    this.#sources.set(name, source);
    source.set(target.endpoints);
    const known = this.#targets.get(name);
    if (known?.backend.kind === "balancer") return;
    this.#targets.set(name, {
      protocol: target.protocol ?? "detect",
      detectTimeoutMs: target.detectTimeoutMs ?? 10_000,
      backend: { kind: "balancer", source, parameters: PARAMETERS },
      labels: [],
    });
  }

  acquire(ip: string, port: number): OutboundTarget {
    const address = `${ip}:${port}`;
    return (
      this.#targets.get(address) ?? {
        protocol: "detect",
        detectTimeoutMs: 10_000,
        backend: { kind: "forward", endpoint: { address, ip, port, labels: [] } },
        labels: [],
      }
    );
  }

  release(): void {}
}

/** Sums by series' text, as an exposition would show them. */
export class Recorder implements ProxyMetrics {
  readonly values = new Map<string, number>();

  #add(name: string, labels: Labels, amount: number): void {
    const key = `${name}{${labels.map(([label, value]) => `${label}="${value}"`).join(",")}}`;
    this.values.set(key, (this.values.get(key) ?? 0) + amount);
  }

  http(labels: Labels): ReturnType<ProxyMetrics["http"]> {
    return this.#exchanges("", labels);
  }

  #exchanges(prefix: string, labels: Labels): ReturnType<ProxyMetrics["http"]> {
    return {
      request: () => this.#add(`${prefix}request_total`, labels, 1),
      response: (status, _latencyMs, failure) =>
        this.#add(
          `${prefix}response_total`,
          [...labels, ["status_code", String(status)], ["classification", failure ? "failure" : "success"]],
          1,
        ),
    };
  }

  tcp(labels: Labels): ReturnType<ProxyMetrics["tcp"]> {
    return {
      opened: () => {
        this.#add("tcp_open_total", labels, 1);
        this.#add("tcp_open_connections", labels, 1);
      },
      closed: (errno) => {
        this.#add("tcp_open_connections", labels, -1);
        this.#add("tcp_close_total", [...labels, ["errno", errno]], 1);
      },
      read: (bytes) => this.#add("tcp_read_bytes_total", labels, bytes),
      wrote: (bytes) => this.#add("tcp_write_bytes_total", labels, bytes),
    };
  }

  distribution(name: string, labels: Labels): ReturnType<ProxyMetrics["distribution"]> {
    return { record: () => this.#add(`${name}_count`, labels, 1) };
  }

  gauge(): ReturnType<ProxyMetrics["gauge"]> {
    return () => undefined;
  }

  route(labels: Labels): ReturnType<ProxyMetrics["route"]> {
    return this.#exchanges("route_", labels);
  }

  actualRoute(labels: Labels): ReturnType<ProxyMetrics["actualRoute"]> {
    return this.#exchanges("route_actual_", labels);
  }

  counter(name: string, labels: Labels): ReturnType<ProxyMetrics["counter"]> {
    return { add: (amount = 1) => this.#add(name, labels, amount) };
  }
}

export const noTap: TapHub = { active: false, open: () => undefined };
