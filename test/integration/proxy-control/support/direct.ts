/** Direct connections as peers and other clusters' proxies open them (reference 5.6). */
import type { Socket } from "node:net";
import { Header } from "../../../../runtime/api/gen/transport/l5d/io/header.ts";
import { encodeTransportHeader } from "../../../../runtime/proxy/tls/transport-header.ts";

/** A transport header. @param name empty: for a port of the pod */
export const direct = (port: number, name: string, protocol: "http1" | "http2" | undefined): Buffer => {
  const bare = encodeTransportHeader({ port, protocol });
  if (name === "") return bare;
  const preface = bare.subarray(0, bare.indexOf("\r\n\r\n") + 4);
  const body = Header.encode({
    port,
    name,
    sessionProtocol: protocol === undefined ? undefined : { kind: { $case: protocol, value: {} } },
  }).finish();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([preface, length, body]);
};

/** Node's HTTP/2 must not begin on a socket that is still writing. */
export const write = (socket: Socket, bytes: Buffer): Promise<void> =>
  new Promise((resolve) => socket.write(bytes, () => resolve()));
