/** Namespaces by name. */
import { hasStatus } from "../kube/errors.ts";
import { resource } from "../kube/resources.ts";
import type { KubeClient } from "../kube/types.ts";
import { MeshError } from "./errors.ts";

/** An empty answer about a namespace may mean that there is none. Who may not look is not told. @throws MeshError */
export async function requireNamespace(client: KubeClient, name: string): Promise<void> {
  try {
    if ((await client.find(resource.namespaces, name)) !== undefined) return;
  } catch (error) {
    if (hasStatus(error, 403)) return;
    throw error;
  }
  throw new MeshError(`there is no namespace ${name}`, "See which there are: kubectl get namespaces");
}
