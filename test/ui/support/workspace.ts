/** A folder to open: its kubeconfig points at a relay to the API server, so that every contact is seen. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { type ResolvedContext, resolveContext } from "../../../runtime/kube/contexts.ts";
import { loadKubeconfig } from "../../../runtime/kube/kubeconfig.ts";
import { type ApiRelay, startApiRelay } from "./api-relay.ts";

export interface Workspace {
  readonly folder: string;
  readonly kubeconfig: string;
  /** The context of the cluster under test, by the name that KUBECONFIG gives it. */
  readonly context: ResolvedContext;
  readonly relay: ApiRelay;
  /** Adds a context of that name to the kubeconfig, for a user with this token. */
  addContext(name: string, token: string, namespace: string): void;
  remove(): Promise<void>;
}

export async function makeWorkspace(): Promise<Workspace> {
  const kubeconfig = await loadKubeconfig();
  const context = resolveContext(kubeconfig);
  const relay = await startApiRelay(context.cluster.server);
  const folder = mkdtempSync(join(tmpdir(), "weft-ui-"));
  const file = join(folder, "kubeconfig.yaml");
  writeFileSync(file, stringify(relayed(context, relay.port)), { mode: 0o600 });
  mkdirSync(join(folder, "shop"));
  return {
    folder,
    kubeconfig: file,
    context,
    relay,
    addContext(name, token, namespace) {
      const config = parse(readFileSync(file, "utf8")) as Record<"users" | "contexts", object[]>;
      config.users.push({ name, user: { token } });
      config.contexts.push({ name, context: { cluster: context.cluster.name, user: name, namespace } });
      writeFileSync(file, stringify(config), { mode: 0o600 });
    },
    async remove() {
      await relay.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The same cluster and user at the relay's address; its certificate is still checked by the server's own name. */
function relayed({ name, namespace, cluster, user }: ResolvedContext, port: number): object {
  const { protocol, hostname } = new URL(cluster.server);
  return {
    apiVersion: "v1",
    kind: "Config",
    "current-context": name,
    clusters: [
      {
        name: cluster.name,
        cluster: {
          server: `${protocol}//127.0.0.1:${port}`,
          "tls-server-name": cluster.tlsServerName ?? hostname,
          "certificate-authority": cluster.certificateAuthority,
          "certificate-authority-data": cluster.certificateAuthorityData,
          "insecure-skip-tls-verify": cluster.insecureSkipTlsVerify ? true : undefined,
        },
      },
      { name: "nowhere", cluster: { server: "https://127.0.0.1:9" } },
    ],
    users: [
      {
        name: user.name,
        user: {
          token: user.token,
          tokenFile: user.tokenFile,
          "client-certificate": user.clientCertificate,
          "client-certificate-data": user.clientCertificateData,
          "client-key": user.clientKey,
          "client-key-data": user.clientKeyData,
        },
      },
      { name: "nobody", user: { token: "none" } },
    ],
    contexts: [
      { name, context: { cluster: cluster.name, user: user.name, namespace } },
      { name: "nowhere", context: { cluster: "nowhere", user: user.name } },
      { name: "stranger", context: { cluster: cluster.name, user: "nobody" } },
      { name: "torn", context: { cluster: "missing", user: user.name } },
    ],
  };
}
