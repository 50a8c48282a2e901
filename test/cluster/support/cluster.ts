/** The real cluster that KUBECONFIG names. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createKubeClient } from "../../../runtime/kube/client.ts";
import { resolveContext } from "../../../runtime/kube/contexts.ts";
import { loadKubeconfig } from "../../../runtime/kube/kubeconfig.ts";
import { kubeconfigTransport } from "../../../runtime/kube/kubeconfig-transport.ts";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient } from "../../../runtime/kube/types.ts";

const POLL_MS = 100;
const DEFAULT_TIMEOUT_MS = 20_000;

export async function clusterClient(): Promise<KubeClient> {
  return createKubeClient(kubeconfigTransport(resolveContext(await loadKubeconfig())));
}

/** A namespace of a name of its own, with its default service account. The caller deletes it. */
export async function createNamespace(
  client: KubeClient,
  prefix: string,
  metadata: { readonly annotations?: Record<string, string> } = {},
): Promise<string> {
  const name = `${prefix}-${randomBytes(4).toString("hex")}`;
  await client.create(resource.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name, ...metadata } });
  await eventually(() => client.find(resource.serviceAccounts, "default", name));
  return name;
}

/** TokenRequest. */
export async function serviceAccountToken(
  client: KubeClient,
  namespace: string,
  name: string,
  audience: string,
): Promise<string> {
  const { status } = await client.json<{ status: { token: string } }>({
    method: "POST",
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
    body: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { audiences: [audience], expirationSeconds: 3600 },
    },
  });
  return status.token;
}

/** Asks until `attempt` gives something other than undefined. @throws what it threw last, or that it gave nothing */
export async function eventually<T>(
  attempt: () => Promise<T | undefined> | T | undefined,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<T> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown = new Error(`not within ${timeoutMs} ms`);
    try {
      const found = await attempt();
      if (found !== undefined) return found;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > until) throw failure;
    await sleep(POLL_MS);
  }
}
