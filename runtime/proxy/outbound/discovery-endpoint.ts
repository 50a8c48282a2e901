/** One endpoint, from the wire (reference 5.2). */
import type { WeightedAddr, Http2ClientParams as WireParams } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { TcpAddress } from "../../api/gen/io/linkerd/proxy/net.ts";
import { durationMs } from "../control/duration.ts";
import { DEFAULT_LIFE, lifeOf } from "../http2/keep-alive.ts";
import { DEFAULT_WINDOWS, type Http2ClientParams } from "../http2/limits.ts";
import type { Labels } from "../metrics/series.ts";
import { formatAddress, ipFromWire } from "../policy/networks.ts";
import type { Endpoint } from "./target.ts";

const MAX_PARAMS = 100;
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
  const http2 = http2Of(weighted.http2);
  return {
    address: formatAddress(ip, port),
    ip,
    port,
    ...(identity === undefined ? {} : { tls: identity }),
    ...(hint === undefined ? {} : { protocolHint: hint }),
    ...(proxyPort === undefined || proxyPort === 0 ? {} : { proxyPort }),
    ...(http2 === undefined ? {} : { http2 }),
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
    a.http2 === b.http2 &&
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

/** Alike for nearly all endpoints: the same object for the same text. */
const params = new Map<string, Http2ClientParams>();

/** undefined: nothing but what holds anyway. Windows that adapt cannot be had. */
function http2Of(http2: WireParams | undefined): Http2ClientParams | undefined {
  const flow = http2?.flowControl;
  const interval = durationMs(http2?.keepAlive?.interval);
  const timeout = durationMs(http2?.keepAlive?.timeout);
  const fixed = flow !== undefined && !flow.adaptiveFlowControl && flow.initialStreamWindowSize > 0;
  const life = interval === undefined || timeout === undefined ? DEFAULT_LIFE : lifeOf(interval, timeout);
  const lives = life.askAt !== DEFAULT_LIFE.askAt || life.dieAt !== DEFAULT_LIFE.dieAt;
  if (!fixed && !lives) return undefined;
  const least = DEFAULT_WINDOWS.stream;
  const made: Http2ClientParams = {
    ...(fixed
      ? {
          windows: {
            stream: Math.max(least, flow.initialStreamWindowSize),
            connection: Math.max(least, flow.initialConnectionWindowSize),
          },
        }
      : {}),
    ...(lives ? { life } : {}),
  };
  const key = JSON.stringify(made);
  const known = params.get(key);
  if (known !== undefined) return known;
  if (params.size < MAX_PARAMS) params.set(key, made);
  return made;
}

function destinationLabels(set: MetricLabels, own: MetricLabels): Labels {
  return Object.entries({ ...set, ...own })
    .map(([name, value]) => [`dst_${name}`, value] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function sameLabels(a: Labels, b: Labels): boolean {
  return a.length === b.length && a.every(([name, value], index) => name === b[index]?.[0] && value === b[index]?.[1]);
}
