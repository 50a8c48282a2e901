/** Plain HTTP/2 in, mesh TLS with a transport header out, for programs that know no such thing. Run as: shim.ts '<ShimOptions>', with an IPC channel. */
import { createServer } from "node:net";
import { connect } from "node:tls";
import { encodeTransportHeader } from "../../runtime/proxy/tls/transport-header.ts";
import type { Credentials } from "../integration/proxy-data-plane/support/certificates.ts";

export interface ShimOptions {
  /** Where it listens, on loopback. */
  readonly listen: number;
  readonly credentials: Credentials;
  readonly to: { readonly ip: string; readonly identity: string; readonly port: number };
}

const { listen, credentials, to } = JSON.parse(process.argv[2] as string) as ShimOptions;
const server = createServer((plain) => {
  const secure = connect({
    host: to.ip,
    port: 4143,
    servername: to.identity,
    ALPNProtocols: ["transport.l5d.io/v1"],
    key: credentials.key,
    cert: credentials.certificate,
    ca: credentials.anchors,
    minVersion: "TLSv1.3",
  });
  secure.write(encodeTransportHeader({ port: to.port, protocol: "http2" }));
  plain.pipe(secure).pipe(plain);
  plain.on("error", () => secure.destroy());
  secure.on("error", () => plain.destroy());
  plain.on("close", () => secure.end());
  secure.on("close", () => plain.end());
});
server.listen(listen, "127.0.0.1", () => process.send?.("listening"));
