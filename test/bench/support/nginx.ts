/** nginx as a peer: one hop, the client's and the server's side of mTLS, for HTTP/1, gRPC and bytes. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Protocol } from "../cells.ts";

export const NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** What both peers are told of one proxy. */
export interface PeerOptions {
  readonly folder: string;
  readonly protocol: Protocol;
  /** `outbound` begins mTLS, `inbound` ends it. */
  readonly role: "plain" | "outbound" | "inbound";
  /** `ip:port`. */
  readonly listen: string;
  readonly upstream: string;
  /** PEM paths: leaf with its issuer, key, both in one file, trust anchors; the name that the other side's leaf carries. */
  readonly tls: {
    readonly certificate: string;
    readonly key: string;
    readonly pair: string;
    readonly anchors: string;
    readonly peerName: string;
  };
}

/** The suite that our proxies agree on, so that all do the same arithmetic. */
export const CIPHERSUITE = "TLS_AES_128_GCM_SHA256";
const KEPT = "keepalive_requests 1000000000; keepalive_timeout 3600s;";

/** Writes the configuration. @returns its path */
export function nginxConfig(options: PeerOptions): string {
  const { folder } = options;
  mkdirSync(folder, { recursive: true });
  // nginx runs as the user whom the redirect exempts.
  chmodSync(folder, 0o777);
  const file = join(folder, "nginx.conf");
  const stream = options.protocol === "tcp";
  // One worker: a proxy of one thread is what is compared.
  writeFileSync(
    file,
    `${stream ? `load_module ${NGINX_STREAM_MODULE};` : ""}
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events { worker_connections 16384; }
${stream ? bytes(options) : requests(options)}
`,
  );
  return file;
}

function requests(options: PeerOptions): string {
  const { folder, protocol, role, listen, upstream } = options;
  const http2 = protocol === "http2";
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const scheme = `${http2 ? "grpc" : "http"}${role === "outbound" ? "s" : ""}`;
  const pass = http2
    ? "grpc_set_header Host $http_host; grpc_pass"
    : 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_pass';
  return `http {
  access_log off; server_tokens off; tcp_nodelay on; ${KEPT} ${temporary.join(" ")} ${http2 ? "http2_max_concurrent_streams 1000;" : ""}
  upstream u { server ${upstream}; keepalive 2048; ${KEPT} }
  server {
    listen ${listen} ${role === "inbound" ? "ssl " : ""}${http2 ? "http2 " : ""}backlog=4096; client_max_body_size 0;
    ${role === "inbound" ? ending(options) : ""}
    location / { ${role === "outbound" ? beginning(options, http2 ? "grpc" : "proxy") : ""} ${pass} ${scheme}://u; }
  }
}`;
}

function bytes(options: PeerOptions): string {
  const { role, listen, upstream } = options;
  return `stream {
  server {
    listen ${listen} ${role === "inbound" ? "ssl " : ""}backlog=4096;
    ${role === "inbound" ? ending(options) : ""} ${role === "outbound" ? `proxy_ssl on; ${beginning(options, "proxy")}` : ""}
    proxy_pass ${upstream}; proxy_buffer_size 64k; tcp_nodelay on; proxy_timeout 1h;
  }
}`;
}

/** Nothing is resumed: neither do our proxies (a resumed session skips the checks of its chain). */
function ending({ tls }: PeerOptions): string {
  return `ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key}; ssl_client_certificate ${tls.anchors}; ssl_verify_client on; ssl_verify_depth 3;
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites ${CIPHERSUITE}; ssl_session_tickets off; ssl_session_cache off;`;
}

function beginning({ tls }: PeerOptions, prefix: "proxy" | "grpc"): string {
  return [
    `certificate ${tls.certificate}`,
    `certificate_key ${tls.key}`,
    `trusted_certificate ${tls.anchors}`,
    "verify on",
    "verify_depth 3",
    `name ${tls.peerName}`,
    "server_name on",
    "protocols TLSv1.3",
    "session_reuse off",
    `conf_command Ciphersuites ${CIPHERSUITE}`,
  ]
    .map((directive) => `${prefix}_ssl_${directive};`)
    .join(" ");
}
