/**
 * The transport of a person's machine: credentials of a kubeconfig through @kubernetes/client-node, which is loaded at
 * the first request (it is 2 MB). What it gets wrong is done here: credential plugins, file precedence, impersonation.
 */

import { readFile } from "node:fs/promises";
import type { Agent } from "node:http";
import { Agent as HttpsAgent, type RequestOptions } from "node:https";
import type { ResolvedContext } from "./contexts.ts";
import { KubeConnectionError } from "./errors.ts";
import { type ExecCredential, execCredentials } from "./exec-credential.ts";
import type { ExecOptions } from "./exec-process.ts";
import { type Credentials, httpsTransport, type TlsMaterial } from "./https-transport.ts";
import type { Impersonation } from "./kubeconfig.ts";
import type { KubeTransport } from "./types.ts";

/** Files that tools renew behind our back (tokens, client certificates) are read again after this long. */
const REREAD_MS = 60_000;

export interface KubeconfigTransportOptions {
  readonly exec?: ExecOptions;
  /** Read for HTTPS_PROXY and NO_PROXY where the cluster names no proxy-url; default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

interface Built {
  readonly credentials: Credentials;
  readonly agent: Agent | undefined;
  readonly exec: ExecCredential | undefined;
  readonly readAt: number;
}

/** Contacts nothing and runs no plugin before the first request. */
export function kubeconfigTransport(context: ResolvedContext, options: KubeconfigTransportOptions = {}): KubeTransport {
  const { cluster, user } = context;
  const plugin = user.exec === undefined ? undefined : execCredentials(user.file, user.name, user.exec, cluster);
  // A new connection is somebody's wish to try again.
  plugin?.forgetFailure();
  let built: Built | undefined;
  let building: Promise<Built> | undefined;

  async function credentials(signal?: AbortSignal): Promise<Credentials> {
    const exec = await plugin?.get(options.exec ?? {}, signal);
    const stale = built === undefined || built.exec !== exec || Date.now() - built.readAt > REREAD_MS;
    // auth-provider plugins keep and renew a token of their own: they are asked each time.
    if (stale || user.authProvider !== undefined) {
      building ??= build(context, exec).finally(() => {
        building = undefined;
      });
      const next = await building;
      built = built !== undefined && sameTls(built.credentials.tls, next.credentials.tls) ? keepTls(built, next) : next;
    }
    return (built as Built).credentials;
  }

  return httpsTransport({
    server: cluster.server,
    credentials,
    rejected(used) {
      if (built === undefined || built.credentials !== used) return true;
      if (built.exec !== undefined && plugin !== undefined) return plugin.invalidate(built.exec);
      const renewable = user.tokenFile !== undefined || user.clientCertificate !== undefined;
      if (renewable) built = undefined;
      return renewable;
    },
    createAgent: (tls) => built?.agent ?? directAgent(cluster.server, tls, options.env ?? process.env),
  });
}

async function build(context: ResolvedContext, exec: ExecCredential | undefined): Promise<Built> {
  const { cluster, user } = context;
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  const insecure = cluster.insecureSkipTlsVerify || cluster.server.startsWith("http:");
  const caData = cluster.certificateAuthorityData ?? (await base64(cluster.server, cluster.certificateAuthority));
  const token = exec?.token ?? (await textOf(cluster.server, user.tokenFile)) ?? user.token;
  config.loadFromOptions({
    clusters: [
      {
        name: "cluster",
        server: cluster.server,
        skipTLSVerify: insecure,
        // With verification off, client-go refuses a CA; here it would be of no use.
        caData,
        tlsServerName: cluster.tlsServerName,
        proxyUrl: cluster.proxyUrl,
      },
    ],
    users: [
      {
        name: "user",
        token,
        username: user.username,
        password: user.password,
        authProvider: user.authProvider,
        certData:
          pemToBase64(exec?.clientCertificate) ??
          user.clientCertificateData ??
          (await base64(cluster.server, user.clientCertificate)),
        keyData: pemToBase64(exec?.clientKey) ?? user.clientKeyData ?? (await base64(cluster.server, user.clientKey)),
      },
    ],
    contexts: [{ name: "context", cluster: "cluster", user: "user" }],
    currentContext: "context",
  });
  const https: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(https);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KubeConnectionError(cluster.server, `no credentials for user "${user.name}" (${user.file}): ${reason}`, {
      cause,
    });
  }
  return {
    credentials: { headers: headersOf(https, user.impersonate), tls: tlsOf(https) },
    agent: cluster.proxyUrl === undefined ? undefined : (https.agent as Agent),
    exec,
    readAt: Date.now(),
  };
}

function headersOf(https: RequestOptions, impersonate: Impersonation | undefined): Credentials["headers"] {
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries((https.headers ?? {}) as Record<string, string>))
    headers[name.toLowerCase()] = value;
  if (https.auth) headers["authorization"] ??= `Basic ${Buffer.from(https.auth).toString("base64")}`;
  if (impersonate?.user !== undefined) headers["impersonate-user"] = impersonate.user;
  if (impersonate?.uid !== undefined) headers["impersonate-uid"] = impersonate.uid;
  if (impersonate !== undefined && impersonate.groups.length > 0) headers["impersonate-group"] = impersonate.groups;
  for (const [key, values] of Object.entries(impersonate?.extra ?? {})) {
    headers[`impersonate-extra-${encodeURIComponent(key)}`] = values;
  }
  return headers;
}

function tlsOf(https: RequestOptions): TlsMaterial {
  const { ca, cert, key, servername, rejectUnauthorized } = https as TlsMaterial;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
  };
}

function sameTls(a: TlsMaterial, b: TlsMaterial): boolean {
  const same = (x: string | Buffer | undefined, y: string | Buffer | undefined) =>
    x === y || (x !== undefined && y !== undefined && Buffer.from(x).equals(Buffer.from(y)));
  return same(a.ca, b.ca) && same(a.cert, b.cert) && same(a.key, b.key);
}

/** The new headers over the connections that are there. */
function keepTls(before: Built, next: Built): Built {
  return {
    ...next,
    agent: before.agent,
    credentials: { headers: next.credentials.headers, tls: before.credentials.tls },
  };
}

function directAgent(
  server: string,
  tls: TlsMaterial,
  env: Readonly<Record<string, string | undefined>>,
): Agent | undefined {
  const { hostname, protocol } = new URL(server);
  if (protocol !== "https:") return undefined;
  const loopback = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  // As Go's ProxyFromEnvironment: never for this machine itself.
  return new HttpsAgent({
    keepAlive: true,
    keepAliveMsecs: 30_000,
    ...tls,
    ...(loopback ? {} : { proxyEnv: { ...env } }),
  });
}

async function textOf(server: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return (await read(server, file)).toString("utf8").trim();
}

async function base64(server: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return (await read(server, file)).toString("base64");
}

async function read(server: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new KubeConnectionError(server, `${file}, named in the kubeconfig, cannot be read: ${code ?? cause}`, {
      cause,
    });
  }
}

function pemToBase64(pem: string | undefined): string | undefined {
  return pem === undefined ? undefined : Buffer.from(pem, "utf8").toString("base64");
}
