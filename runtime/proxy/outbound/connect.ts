/**
 * Connects to an endpoint the way it can be reached (reference 5.5, 5.6). A meshed endpoint whose proxy takes transport headers
 * gets every connection on its proxy's own port, HTTP/1 included, as Linkerd does it: the header says the port and what
 * the bytes are, so that the peer need not detect it, and opaque ports work. Without a header it is TLS to the port itself,
 * which the peer's redirect takes to its proxy. Our own pod is reached over loopback, where no redirect is: in plain text.
 */
import type { DataPlaneOptions } from "../listener.ts";
import type { TlsStatus } from "../tcp/labels.ts";
import { connectTls } from "../tls/mesh-tls.ts";
import { encodeTransportHeader } from "../tls/transport-header.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import type { Endpoint } from "./target.ts";

/** A handshake crosses the network twice, whatever connecting may cost. */
const MIN_HANDSHAKE_MS = 3_000;

/** What TLS with an endpoint will be. */
export function endpointTls(endpoint: Endpoint, ownIps: ReadonlySet<string>): TlsStatus {
  if (ownIps.has(endpoint.ip)) return { kind: "none", reason: "loopback" };
  return endpoint.tls === undefined
    ? { kind: "none", reason: "not_provided_by_service_discovery" }
    : { kind: "established", peer: endpoint.tls.identity };
}

/**
 * @param protocol what the bytes will be, where it is known
 * @throws ConnectError, PeerIdentityError: nothing was sent to an application
 */
export async function connectEndpoint(
  options: DataPlaneOptions,
  endpoint: Endpoint,
  protocol: "http1" | "http2" | undefined,
  owner: StreamOwner,
): Promise<ByteStream> {
  const { transport, identity, ips, connectTimeoutMs } = options;
  const { ip, port, proxyPort, tls } = endpoint;
  if (tls === undefined || ips.has(ip)) return transport.connect({ ip, port }, connectTimeoutMs, owner);
  const transportHeader = proxyPort !== undefined;
  const stream = await connectTls(
    transport,
    { address: { ip, port: proxyPort ?? port }, identity: tls.identity, serverName: tls.serverName, transportHeader },
    identity,
    { connectMs: connectTimeoutMs, handshakeMs: Math.max(MIN_HANDSHAKE_MS, 3 * connectTimeoutMs) },
    owner,
  );
  if (transportHeader) {
    const header = encodeTransportHeader({ port, protocol });
    stream.write(header, 0, header.length);
  }
  return stream;
}
