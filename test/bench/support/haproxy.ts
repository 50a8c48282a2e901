/** haproxy as a peer, told the same as nginx. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CIPHERSUITE, type PeerOptions } from "./nginx.ts";

/** Writes the configuration. @returns its path */
export function haproxyConfig({ folder, protocol, role, listen, upstream, tls }: PeerOptions): string {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o777);
  const http = protocol !== "tcp";
  const http2 = protocol === "http2";
  const crypto = `ssl crt ${tls.pair} ca-file ${tls.anchors} verify required ssl-min-ver TLSv1.3 ciphersuites ${CIPHERSUITE}`;
  const alpn = http2 ? " alpn h2" : "";
  const bind = role === "inbound" ? `${crypto}${alpn} no-tls-tickets` : http2 ? "proto h2" : "";
  const server =
    role === "outbound"
      ? `${crypto} no-ssl-reuse verifyhost ${tls.peerName} sni str(${tls.peerName})${alpn}`
      : http2
        ? "proto h2"
        : "";
  const file = join(folder, "haproxy.cfg");
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 8192
  tune.h2.max-concurrent-streams 1000
  tune.ssl.cachesize 0
defaults
  mode ${http ? "http" : "tcp"}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
${http ? "  option http-keep-alive\n" : ""}frontend f
  bind ${listen} ${bind} backlog 4096
  default_backend b
backend b
${http ? "  http-reuse aggressive\n" : ""}  server s ${upstream} ${server} ${http ? "pool-max-conn -1 pool-purge-delay 1h" : ""}
`,
  );
  return file;
}
