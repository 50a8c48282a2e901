/** The cluster that end-to-end tests run on, and the mesh they share. */
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createKubeClient } from "../../../runtime/kube/client.ts";
import { type ResolvedContext, resolveContext } from "../../../runtime/kube/contexts.ts";
import type { Impersonation } from "../../../runtime/kube/kubeconfig.ts";
import { loadKubeconfig } from "../../../runtime/kube/kubeconfig.ts";
import { kubeconfigTransport } from "../../../runtime/kube/kubeconfig-transport.ts";
import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeClient } from "../../../runtime/kube/types.ts";
import { applyDemo, planDemo } from "../../../runtime/mesh/demo.ts";
import { applyInstall, planInstall } from "../../../runtime/mesh/install.ts";
import type { InstallOptions, ProgressEvent } from "../../../runtime/mesh/types.ts";

export const runtimeFolder = resolve(import.meta.dirname, "../../../dist/runtime");
/** Everything that a test makes of its own is in namespaces of this name. */
export const TEST_NAMESPACE_PREFIX = "weft-test-";
export const nodeImage = process.env["WEFT_TEST_NODE_IMAGE"] ?? "docker.io/library/node:24-slim";

/** How the tests install: with the images that `npm run test:cluster` found. */
export const installOptions: InstallOptions = {
  runtimeFolder,
  nodeImage,
  ...(process.env["WEFT_TEST_INIT_IMAGE"] === undefined ? {} : { initImage: process.env["WEFT_TEST_INIT_IMAGE"] }),
};

let context: ResolvedContext | undefined;

/** @param impersonate asks as somebody else, with that user's rights */
export async function connectCluster(impersonate?: Impersonation): Promise<KubeClient> {
  context ??= resolveContext(await loadKubeconfig());
  const user = impersonate === undefined ? context.user : { ...context.user, impersonate };
  return createKubeClient(kubeconfigTransport({ ...context, user }));
}

/** As the service account `name` of `namespace` asks. */
export async function connectAs(namespace: string, name: string): Promise<KubeClient> {
  return await connectCluster({
    user: `system:serviceaccount:${namespace}:${name}`,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
    extra: {},
  });
}

/** Installs the mesh, or leaves it as it is where it is as it should be. */
export async function ensureMesh(client: KubeClient): Promise<void> {
  await applyInstall(client, await planInstall(client, installOptions), { onProgress: narrate });
}

/** The mesh and the demo on it, every agent ready. */
export async function ensureDemo(client: KubeClient): Promise<void> {
  await ensureMesh(client);
  await applyDemo(client, await planDemo(client, { runtimeFolder, nodeImage }), { onProgress: narrate });
}

/** What fails is worth a line in a test's output. */
export function narrate({ state, subject, detail }: ProgressEvent): void {
  if (state === "failed") console.log(`failed: ${subject}${detail === undefined ? "" : `: ${detail}`}`);
}

/**
 * Asks until `attempt` gives something other than undefined.
 * @throws Error with what `attempt` threw last, or that it gave nothing
 */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  const until = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await attempt();
      if (found !== undefined) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) {
      const why = last instanceof Error ? `: ${last.message}` : "";
      throw new Error(`${what}: not within ${timeoutMs / 1000} s${why}`, { cause: last });
    }
    await sleep(1_000);
  }
}

/** An empty namespace of that name; one that was left is removed first. */
export async function freshNamespace(
  client: KubeClient,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<string> {
  const full = `${TEST_NAMESPACE_PREFIX}${name}`;
  await removeNamespace(client, full);
  await client.create(resource.namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: full, labels: { ...labels } },
  });
  await eventually(`service account of ${full}`, 30_000, () => client.find(resource.serviceAccounts, "default", full));
  return full;
}

export async function removeNamespace(client: KubeClient, name: string): Promise<void> {
  await client.delete(resource.namespaces, name);
  await eventually(`namespace ${name} gone`, 120_000, async () =>
    (await client.find(resource.namespaces, name)) === undefined ? true : undefined,
  );
}
