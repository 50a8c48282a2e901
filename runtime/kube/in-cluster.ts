/** The transport of a program that runs in a pod: its service account's token, re-read as the kubelet renews it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { KubeConnectionError } from "./errors.ts";
import { type Credentials, httpsTransport } from "./https-transport.ts";
import type { KubeTransport } from "./types.ts";

const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
/** The kubelet renews a token at 80 % of its life; client-go re-reads it as often as this. */
const REREAD_MS = 60_000;

export interface InClusterOptions {
  /** Holds `token` and `ca.crt`; default where the kubelet mounts them. */
  readonly folder?: string;
  /** Read for KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT; default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** @throws Error outside a cluster (KUBERNETES_SERVICE_HOST not set) */
export function inClusterTransport(options: InClusterOptions = {}): KubeTransport {
  const env = options.env ?? process.env;
  const folder = options.folder ?? SERVICE_ACCOUNT_FOLDER;
  const host = env["KUBERNETES_SERVICE_HOST"];
  if (host === undefined || host === "") {
    throw new Error("not in a Kubernetes cluster: KUBERNETES_SERVICE_HOST is not set");
  }
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${env["KUBERNETES_SERVICE_PORT"] ?? "443"}`;
  let current: Credentials | undefined;
  let readAt = 0;

  async function read(): Promise<Credentials> {
    try {
      const [token, ca] = await Promise.all([
        readFile(join(folder, "token"), "utf8"),
        readFile(join(folder, "ca.crt"), "utf8"),
      ]);
      const tls = current?.tls.ca === ca ? current.tls : { ca };
      return { headers: { authorization: `Bearer ${token.trim()}` }, tls };
    } catch (error) {
      throw new KubeConnectionError(server, `no service-account token or CA in ${folder}`, { cause: error });
    }
  }

  return httpsTransport({
    server,
    async credentials() {
      if (current === undefined || Date.now() - readAt > REREAD_MS) {
        current = await read();
        readAt = Date.now();
      }
      return current;
    },
    rejected(used) {
      if (current === used) readAt = 0;
      return true;
    },
  });
}
