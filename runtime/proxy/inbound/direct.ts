/** A meshed connection to the proxy itself: it says first, in a transport header, what it is for (reference 5.5, 5.6). */
import type { Occasion } from "../detect/first-bytes.ts";
import { Refusal } from "../http/failure.ts";
import { DETECT_RESULTS } from "../metrics/connection-series.ts";
import { targetLabels, tcpLabels, tlsLabels } from "../tcp/labels.ts";
import { decodeTransportHeader, type TransportHeader } from "../tls/transport-header.ts";
import { type Address, type ByteStream, nobody } from "../transport/stream.ts";
import { GatewayHttp, gatewayWay, leadsTo } from "./gateway.ts";
import { InboundHttp } from "./http.ts";
import { RefusedHttp } from "./refused-http.ts";
import { type Arrival, clientSeries, type FirstRead, serveApplication, serveBytes, serveHttp } from "./serve.ts";
import type { Gateway } from "./side.ts";

export interface DirectArrival extends Arrival {
  /** The proxy's own address, as the client dialled it. */
  readonly local: Address;
  /** Not what such a connection may be. @returns false: it is closed */
  refuse(why: string, error?: string): false;
}

/** @returns whether it is known what the connection is for; false asks for more bytes, or it is closed */
export function readDirect(arrival: DirectArrival, read: FirstRead, occasion: Occasion): boolean {
  const { stream, bytes, start, end } = read;
  const { side, peer, local } = arrival;
  if (occasion !== "data") return arrival.refuse("sent no transport header");
  const decoded = decodeTransportHeader(bytes.subarray(start, end));
  if (decoded === "incomplete") return false;
  if (decoded === "malformed") return arrival.refuse("sent a malformed transport header");
  const { port, name, protocol } = decoded.header;
  const rest: FirstRead = { stream, bytes, start: start + decoded.end, end };
  const { gateway } = side;
  const enters = gateway !== undefined && name !== "" && leadsTo(gateway, name);
  const refusal = enters ? undefined : refusalOf(port, name, local);
  if (refusal !== undefined) return refuseDirect(arrival, refusal, protocol, rest);
  side.options.metrics
    .counter("inbound_tcp_transport_header_connections_total", [
      ["session_protocol", protocol === undefined ? "" : DETECT_RESULTS[protocol]],
      ["target_port", String(port)],
      ["target_name", name],
      ["client_id", peer.client.identity ?? ""],
    ])
    .add();
  const early = (): Buffer => Buffer.from(bytes.subarray(rest.start, end));
  if (enters) {
    enterGateway(arrival, gateway, decoded.header, stream, early());
    return true;
  }
  const goal = { address: { ip: local.ip, port }, server: side.options.policies.port(port) };
  // The pod's own word on its port counts more than what a client took the bytes for.
  const opaque = protocol === undefined || goal.server.protocol === "opaque" || goal.server.protocol === "tls";
  if (opaque) serveBytes(arrival, goal, stream, { early: early() });
  else serveApplication(arrival, protocol, goal, rest);
  return true;
}

/** What a connection to the proxy itself may not be for. */
function refusalOf(port: number, name: string, local: Address): Refusal | undefined {
  if (name !== "") return new Refusal("gateway-domain", `this proxy is no gateway to ${name}`);
  if (port !== local.port) return undefined;
  return new Refusal("loop", `port ${port} is the proxy's own: the connection would come back to it`);
}

function refuseDirect(
  arrival: DirectArrival,
  refusal: Refusal,
  protocol: "http1" | "http2" | undefined,
  read: FirstRead,
): boolean {
  if (protocol === undefined) {
    return arrival.refuse(`was for what it may not be: ${refusal.message}`, refusal.error);
  }
  const { metrics } = arrival.side.options;
  const { local, peer } = arrival;
  const labels = targetLabels(local.ip, local.port);
  const tcp = metrics.tcp(tcpLabels("inbound", "src", labels, tlsLabels(peer.tls, "client_id"), []));
  tcp.opened();
  const service = new RefusedHttp({ refusal, tcp, metrics, labels, onClosed: () => arrival.finish() });
  serveHttp(arrival, protocol, service, read);
  return true;
}

/** By the policy of the proxy's own port, to where the outbound side would go for that name. */
function enterGateway(
  arrival: DirectArrival,
  gateway: Gateway,
  { name, port, protocol }: TransportHeader,
  stream: ByteStream,
  early: Buffer,
): void {
  const { outbound } = gateway;
  const { targets } = outbound.options;
  const { side, peer, local } = arrival;
  const { policies, identity } = side.options;
  let gone = false;
  stream.owner = {
    ...nobody,
    onClose: () => {
      gone = true;
      arrival.finish();
    },
  };
  stream.pause();
  void Promise.resolve(targets.acquire(name, port)).then((target) => {
    const release = (): void => targets.release(name, port);
    if (gone) {
      release();
      return;
    }
    const goal = { address: local, server: policies.port(local.port) };
    if (protocol === undefined) {
      serveBytes(arrival, goal, stream, { early, way: gatewayWay(outbound, target, release) });
      return;
    }
    const entrance = new InboundHttp(side, peer, local, clientSeries(arrival, goal), () => {
      release();
      arrival.finish();
    });
    const service = new GatewayHttp({
      gateway,
      target,
      name,
      port,
      protocol,
      identity: identity.name,
      peer,
      entrance,
    });
    // What is read then comes in a later turn.
    stream.resume();
    serveHttp(arrival, protocol, service, { stream, bytes: early, start: 0, end: early.length });
  });
}
