/** What is compared, in words. A cell is one protocol, topology, load and variant. */

export const PROTOCOLS = ["http1", "http2", "tcp"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** client → proxy → server, and client → proxy = mTLS = proxy → server. */
export const TOPOLOGIES = ["plain", "mtls"] as const;
export type Topology = (typeof TOPOLOGIES)[number];

export const VARIANTS = ["weft", "nginx", "haproxy"] as const;
export type Variant = (typeof VARIANTS)[number];

export type LoadName = "saturation" | "saturation-32x1" | "200" | "2000";

export interface Load {
  readonly name: LoadName;
  /** How the load program calls it: TCP at saturation is a stream of bytes. */
  readonly kind: "http1" | "http2" | "tcp" | "stream";
  readonly connections: number;
  /** Exchanges at once on a connection. */
  readonly streams: number;
  /** Exchanges a second; 0: as many as go. */
  readonly rate: number;
}

const atRates = (kind: Load["kind"], connections: number): readonly Load[] => [
  { name: "200", kind, connections, streams: 1, rate: 200 },
  { name: "2000", kind, connections, streams: 1, rate: 2_000 },
];

export const LOADS: Readonly<Record<Protocol, readonly Load[]>> = {
  http1: [{ name: "saturation", kind: "http1", connections: 32, streams: 1, rate: 0 }, ...atRates("http1", 32)],
  http2: [
    { name: "saturation", kind: "http2", connections: 8, streams: 10, rate: 0 },
    { name: "saturation-32x1", kind: "http2", connections: 32, streams: 1, rate: 0 },
    ...atRates("http2", 32),
  ],
  tcp: [{ name: "saturation", kind: "stream", connections: 8, streams: 1, rate: 0 }, ...atRates("tcp", 32)],
};

/** Where the server listens for each protocol. */
export const SERVER_PORT: Readonly<Record<Protocol, number>> = { http1: 8001, http2: 8002, tcp: 8003 };

/** The ports of one deployment: two sidecars at most, each with all its listeners. `service` is what clients dial. */
export interface Ports {
  readonly service: number;
  readonly outbound: number;
  readonly inbound: number;
  readonly client: { readonly unused: number; readonly admin: number; readonly tap: number };
  readonly server: { readonly unused: number; readonly admin: number; readonly tap: number };
}

export function portsOf(protocol: Protocol, topology: Topology, variant: Variant): Ports {
  const index =
    (PROTOCOLS.indexOf(protocol) * TOPOLOGIES.length + TOPOLOGIES.indexOf(topology)) * VARIANTS.length +
    VARIANTS.indexOf(variant);
  const first = 20_000 + index * 10;
  return {
    service: 10_000 + index,
    outbound: first,
    inbound: first + 1,
    client: { unused: first + 2, admin: first + 3, tap: first + 4 },
    server: { unused: first + 5, admin: first + 6, tap: first + 7 },
  };
}

export const SERVER_NAME = "server.bench.serviceaccount.identity.weft.cluster.local";
export const CLIENT_NAME = "client.bench.serviceaccount.identity.weft.cluster.local";
