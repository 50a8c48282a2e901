/** An inbound connection once it is known what it carries: HTTP, or bytes for as long as the port's policy authorizes them. */

import type { HttpService } from "../http/service.ts";
import { Downstream } from "../http1/downstream.ts";
import { ServerSession } from "../http2/server-session.ts";
import type { TcpSeries } from "../metrics/series.ts";
import type { InboundServer } from "../policy/inbound.ts";
import { Forward } from "../tcp/forward.ts";
import { targetLabels, tcpLabels, tlsLabels } from "../tcp/labels.ts";
import { type Address, type ByteStream, nobody } from "../transport/stream.ts";
import { whileAuthorized } from "./authorized.ts";
import type { Way } from "./gateway.ts";
import { InboundHttp } from "./http.ts";
import type { InboundPeer } from "./peer.ts";
import type { InboundSide } from "./side.ts";

/** What a connection is at the moment. */
export interface Served {
  close(): void;
  drain?(lastMayCome: boolean): void;
}

/** A connection whose first bytes are here. */
export interface Arrival {
  readonly side: InboundSide;
  readonly peer: InboundPeer;
  /** What it is from now on. */
  become(served: Served): void;
  finish(): void;
}

/** Where it leads, by whose policy. */
export interface Goal {
  readonly address: Address;
  readonly server: InboundServer;
}

/** What was read: `bytes[start, end)`. */
export interface FirstRead {
  readonly stream: ByteStream;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export function serveHttp(
  arrival: Arrival,
  protocol: "http1" | "http2",
  service: HttpService,
  { stream, bytes, start, end }: FirstRead,
): void {
  const downstream =
    protocol === "http1"
      ? new Downstream(stream, service, arrival.side.options.headTimeoutMs)
      : new ServerSession(stream, service, arrival.side.options.http2Limits, arrival.side.options.headTimeoutMs);
  arrival.become(downstream);
  if (start < end) downstream.onData(bytes, start, end);
}

/** HTTP to the application. */
export function serveApplication(
  arrival: Arrival,
  protocol: "http1" | "http2",
  { address, server }: Goal,
  read: FirstRead,
): void {
  const series = clientSeries(arrival, { address, server });
  const service = new InboundHttp(arrival.side, arrival.peer, address, series, () => arrival.finish());
  serveHttp(arrival, protocol, service, read);
}

export interface BytesOptions {
  /** What the client has sent already: copied. */
  readonly early?: Buffer;
  /** The client has half-closed already. */
  readonly ended?: boolean;
  /** Default: to the application. */
  readonly way?: Way;
}

/** @param client a function opens it once there is somewhere to send its bytes to: nothing is read before */
export function serveBytes(
  arrival: Arrival,
  { address, server }: Goal,
  client: ByteStream | (() => ByteStream),
  { early, ended = false, way = wayToApplication(arrival.side, address) }: BytesOptions = {},
): void {
  const { side, peer } = arrival;
  const { metrics, log } = side.options;
  const labels = [...targetLabels(address.ip, address.port), ...server.labels];
  const tls = tlsLabels(peer.tls, "client_id");
  const permit = server.authorizeConnection(peer.client);
  if (permit === undefined) {
    side.tell("denied a connection", peer.client, server);
    metrics.counter("inbound_tcp_authz_deny_total", [...labels, ...tls]).add();
    const stream = typeof client === "function" ? client() : client;
    stream.owner = { ...nobody, onClose: () => arrival.finish() };
    stream.close();
    way.done?.();
    return;
  }
  metrics.counter("inbound_tcp_authz_allow_total", [...labels, ...permit.labels, ...tls]).add();
  if (permit.audit) side.tell("only audits connections", peer.client, server);
  const permits = (changed: InboundServer): boolean => changed.authorizeConnection(peer.client) !== undefined;
  const unfollow = whileAuthorized(side, peer, address, permits, () => forward.close());
  const forward = new Forward({
    client,
    series: clientSeries(arrival, { address, server }),
    ...(early === undefined ? {} : { early }),
    ended,
    connect: way.connect,
    onFailed: (error) => {
      metrics.counter("inbound_tcp_errors_total", [["error", "i/o"], ...labels]).add();
      log?.(error.message);
    },
    onDone: () => {
      unfollow();
      way.done?.();
      arrival.finish();
    },
  });
  arrival.become(forward);
}

function wayToApplication(side: InboundSide, address: Address): Way {
  const { metrics, transport, connectTimeoutMs } = side.options;
  return {
    connect: async (owner) => {
      const stream = await transport.connect(address, connectTimeoutMs, owner);
      const series = metrics.tcp(side.applicationLabels(address));
      series.opened();
      return { stream, series };
    },
  };
}

export function clientSeries({ side, peer }: Arrival, { address, server }: Goal): TcpSeries {
  const tls = tlsLabels(peer.tls, "client_id");
  const labels = tcpLabels("inbound", "src", targetLabels(address.ip, address.port), tls, server.labels);
  const series = side.options.metrics.tcp(labels);
  series.opened();
  return series;
}
