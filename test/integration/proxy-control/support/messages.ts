/** Messages of the control plane as the real one sends them by default (reference 4.8, 5.2, 5.3). */
import type { Update, WeightedAddr } from "../../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import type { Authz, Server } from "../../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type {
  Backend,
  HttpRoute,
  OpaqueRoute,
  OutboundPolicy,
} from "../../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { ipToWire } from "../../../../runtime/proxy/policy/networks.ts";

const seconds = (count: number) => ({ seconds: BigInt(count), nanos: 0 });

export interface EndpointSpec {
  readonly ip: string;
  readonly port: number;
  readonly identity?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly proxyPort?: number;
  readonly opaque?: boolean;
}

export function weightedAddr({ ip, port, identity, labels, proxyPort, opaque }: EndpointSpec): WeightedAddr {
  return {
    addr: { ip: ipToWire(ip), port },
    weight: 10_000,
    metricLabels: { ...labels },
    tlsIdentity:
      identity === undefined
        ? undefined
        : { strategy: { $case: "dnsLikeIdentity", value: { name: identity } }, serverName: { name: identity } },
    protocolHint:
      opaque === undefined && proxyPort === undefined
        ? undefined
        : {
            protocol: opaque ? { $case: "opaque", value: {} } : undefined,
            opaqueTransport: proxyPort === undefined ? undefined : { inboundPort: proxyPort },
          },
    authorityOverride: undefined,
    http2: undefined,
    resourceRef: undefined,
  };
}

export function add(endpoints: readonly EndpointSpec[], metricLabels: Readonly<Record<string, string>> = {}): Update {
  return {
    update: { $case: "add", value: { addrs: endpoints.map(weightedAddr), metricLabels: { ...metricLabels } } },
  };
}

export function remove(endpoints: readonly EndpointSpec[]): Update {
  return {
    update: {
      $case: "remove",
      value: { addrs: endpoints.map(({ ip, port }) => ({ ip: ipToWire(ip), port })) },
    },
  };
}

export function noEndpoints(exists: boolean): Update {
  return { update: { $case: "noEndpoints", value: { exists } } };
}

export function balancer(path: string): Backend {
  return {
    metadata: { kind: { $case: "default", value: "service" } },
    kind: {
      $case: "balancer",
      value: {
        discovery: { kind: { $case: "dst", value: { path } } },
        load: {
          $case: "peakEwma",
          value: { defaultRtt: { seconds: 0n, nanos: 30_000_000 }, decay: seconds(10) },
        },
      },
    },
    queue: { capacity: 100, failfastTimeout: seconds(3) },
  };
}

export function forward(endpoint: EndpointSpec): Backend {
  return {
    metadata: { kind: { $case: "default", value: "forward" } },
    kind: { $case: "forward", value: weightedAddr(endpoint) },
    queue: { capacity: 100, failfastTimeout: seconds(3) },
  };
}

export function detectPolicy(
  backend: Backend,
  service?: { namespace: string; name: string; port: number },
): OutboundPolicy {
  const routes = [httpRoute(backend)];
  return {
    metadata:
      service === undefined
        ? { kind: { $case: "default", value: "egress-fallback" } }
        : { kind: { $case: "resource", value: { group: "core", kind: "Service", section: "", ...service } } },
    protocol: {
      kind: {
        $case: "detect",
        value: {
          timeout: seconds(10),
          opaque: { routes: [opaqueRoute(backend)] },
          http1: { routes, failureAccrual: undefined },
          http2: { routes, failureAccrual: undefined },
        },
      },
    },
  };
}

export function opaquePolicy(backend: Backend, forbidden = false): OutboundPolicy {
  return {
    metadata: { kind: { $case: "default", value: "opaque" } },
    protocol: { kind: { $case: "opaque", value: { routes: [opaqueRoute(backend, forbidden)] } } },
  };
}

function httpRoute(backend: Backend): HttpRoute {
  return {
    metadata: { kind: { $case: "default", value: "http" } },
    hosts: [],
    rules: [
      {
        matches: [{ path: { kind: { $case: "prefix", value: "/" } }, headers: [], queryParams: [], method: undefined }],
        filters: [],
        backends: {
          kind: { $case: "firstAvailable", value: { backends: [{ backend, filters: [], requestTimeout: undefined }] } },
        },
        requestTimeout: undefined,
        timeouts: undefined,
        retry: undefined,
        allowL5dRequestHeaders: false,
      },
    ],
  };
}

function opaqueRoute(backend: Backend, forbidden = false): OpaqueRoute {
  return {
    metadata: { kind: { $case: "default", value: "opaq" } },
    rules: [
      {
        filters: forbidden ? [{ kind: { $case: "forbidden", value: {} } }] : [],
        backends: { kind: { $case: "firstAvailable", value: { backends: [{ backend, filters: [] }] } } },
      },
    ],
  };
}

export function everyone(name: string): Authz {
  return {
    networks: ["0.0.0.0", "::"].map((ip) => ({ net: { ip: ipToWire(ip), prefixLen: 0 }, except: [] })),
    authentication: { permit: { $case: "unauthenticated", value: {} } },
    labels: { group: "", kind: "default", name },
    metadata: { kind: { $case: "default", value: name } },
  };
}

/** The default policy of a port, with one probe route. */
export function defaultServer(name: string, authorizations: readonly Authz[], probe = "/healthz"): Server {
  return {
    protocol: {
      kind: {
        $case: "detect",
        value: {
          timeout: seconds(10),
          httpLocalRateLimit: undefined,
          httpRoutes: [
            {
              metadata: { kind: { $case: "default", value: "default" } },
              hosts: [],
              authorizations: [...authorizations],
              rules: [
                {
                  matches: [
                    {
                      path: { kind: { $case: "prefix", value: "/" } },
                      headers: [],
                      queryParams: [],
                      method: undefined,
                    },
                  ],
                  filters: [],
                },
              ],
            },
            {
              metadata: { kind: { $case: "default", value: "probe" } },
              hosts: [],
              authorizations: [everyone("probe")],
              rules: [
                {
                  matches: [
                    {
                      path: { kind: { $case: "exact", value: probe } },
                      headers: [],
                      queryParams: [],
                      method: { type: { $case: "registered", value: 0 } },
                    },
                  ],
                  filters: [],
                },
              ],
            },
          ],
        },
      },
    },
    serverIps: [],
    authorizations: [...authorizations],
    labels: { group: "", kind: "default", name },
  };
}
