/** Every object of a cluster, so that a test can say that nothing is left. */
import { hasStatus } from "../../../runtime/kube/errors.ts";
import type { KubeClient } from "../../../runtime/kube/types.ts";

/** Objects that come and go by themselves. */
const PASSING = new Set(["events", "leases", "componentstatuses", "endpointslices", "endpoints"]);

interface ApiResource {
  readonly name: string;
  readonly verbs: readonly string[];
}

interface Entry {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly uid: string }[];
    readonly managedFields?: readonly { readonly manager?: string }[];
  };
}

export interface Inventory {
  /**
   * `<group>/<version>/<plural> <namespace>/<name>`, without what lives and dies with an owner that is listed itself: a
   * Deployment of the cluster's may get another ReplicaSet at any time, and the owner answers for it.
   */
  readonly objects: readonly string[];
  /** Those of them that Weft made or wrote into: by label, or by field manager. */
  readonly ours: readonly string[];
}

/** Asks every group and version that the server serves. */
export async function takeInventory(client: KubeClient): Promise<Inventory> {
  const found: { readonly key: string; readonly owners: readonly string[] }[] = [];
  const alive = new Set<string>();
  const ours: string[] = [];
  for (const version of await versions(client)) {
    for (const { name } of await resourcesOf(client, version)) {
      const { items } = await client.json<{ items: readonly Entry[] | null }>({
        method: "GET",
        path: `${version}/${name}`,
      });
      for (const { metadata } of items ?? []) {
        const key = `${version.replace(/^\/apis?\//, "")}/${name} ${metadata.namespace ?? ""}/${metadata.name}`;
        found.push({ key, owners: (metadata.ownerReferences ?? []).map(({ uid }) => uid) });
        if (metadata.uid !== undefined) alive.add(metadata.uid);
        const byLabel = metadata.labels?.["app.kubernetes.io/managed-by"] === "weft";
        const byManager =
          metadata.managedFields?.some(({ manager = "" }) => /^weft(-controller)?$/.test(manager)) ?? false;
        if (byLabel || byManager) ours.push(key);
      }
    }
  }
  const objects = found.filter(({ owners }) => !owners.some((uid) => alive.has(uid))).map(({ key }) => key);
  return { objects, ours };
}

async function versions(client: KubeClient): Promise<string[]> {
  const { groups } = await client.json<{ groups: readonly { readonly preferredVersion: { groupVersion: string } }[] }>({
    method: "GET",
    path: "/apis",
  });
  return ["/api/v1", ...groups.map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`)];
}

async function resourcesOf(client: KubeClient, version: string): Promise<ApiResource[]> {
  try {
    const { resources } = await client.json<{ resources: readonly ApiResource[] }>({ method: "GET", path: version });
    return resources.filter(({ name, verbs }) => verbs.includes("list") && !name.includes("/") && !PASSING.has(name));
  } catch (error) {
    // An aggregated API that is on its way in or out.
    if (hasStatus(error, 404, 503)) return [];
    throw error;
  }
}
