/** One endpoint, from the wire (reference 5.2). */
import type { WeightedAddr } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { TcpAddress } from "../../api/gen/io/linkerd/proxy/net.ts";
import type { Labels } from "../metrics/series.ts";
import { formatAddress, ipFromWire } from "../policy/networks.ts";
import type { Endpoint } from "./target.ts";

type MetricLabels = Readonly<Record<string, string>>;

/** `ip:port`; undefined where the message names no address. */
export function addressFromWire(address: TcpAddress | undefined): string | undefined {
  const ip = ipFromWire(address?.ip);
  return ip === undefined || address === undefined ? undefined : formatAddress(ip, address.port);
}

/** @param setLabels what all endpoints of the set have in common. undefined: the message names no address. */
export function endpointFromWire(weighted: WeightedAddr, setLabels: MetricLabels = {}): Endpoint | undefined {
  const ip = ipFromWire(weighted.addr?.ip);
  const port = weighted.addr?.port;
  if (ip === undefined || port === undefined) return undefined;
  const identity = identityOf(weighted);
  const hint = weighted.protocolHint?.protocol?.$case;
  const proxyPort = weighted.protocolHint?.opaqueTransport?.inboundPort;
  return {
    address: formatAddress(ip, port),
    ip,
    port,
    ...(identity === undefined ? {} : { tls: identity }),
    ...(hint === undefined ? {} : { protocolHint: hint }),
    ...(proxyPort === undefined || proxyPort === 0 ? {} : { proxyPort }),
    labels: destinationLabels(setLabels, weighted.metricLabels),
  };
}

/** The original address itself, about which nothing is known. */
export function bareEndpoint(ip: string, port: number): Endpoint {
  return { address: formatAddress(ip, port), ip, port, labels: [] };
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.address === b.address &&
    a.tls?.identity === b.tls?.identity &&
    a.tls?.serverName === b.tls?.serverName &&
    a.protocolHint === b.protocolHint &&
    a.proxyPort === b.proxyPort &&
    sameLabels(a.labels, b.labels)
  );
}

function identityOf({ tlsIdentity }: WeightedAddr): Endpoint["tls"] {
  const strategy = tlsIdentity?.strategy;
  const identity = strategy?.$case === "uriLikeIdentity" ? strategy.value.uri : strategy?.value.name;
  if (identity === undefined || identity === "") return undefined;
  const serverName = tlsIdentity?.serverName?.name;
  return { identity, serverName: serverName === undefined || serverName === "" ? identity : serverName };
}

function destinationLabels(set: MetricLabels, own: MetricLabels): Labels {
  return Object.entries({ ...set, ...own })
    .map(([name, value]) => [`dst_${name}`, value] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function sameLabels(a: Labels, b: Labels): boolean {
  return a.length === b.length && a.every(([name, value], index) => name === b[index]?.[0] && value === b[index]?.[1]);
}
