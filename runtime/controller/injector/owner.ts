/** The workload above a pod: what people know by name. */
import { hasStatus } from "../../kube/errors.ts";
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject, OwnerReference, Resource } from "../../kube/types.ts";

export interface Owner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** ReplicaSets belong to Deployments, Jobs to CronJobs; one look up is enough for what Kubernetes makes itself. */
const INTERMEDIATE: Readonly<Record<string, Resource>> = { ReplicaSet: resource.replicaSets, Job: resource.jobs };
const CACHE_SIZE = 2_000;

export class OwnerResolver {
  readonly #client: KubeClient;
  /** uid of a ReplicaSet or Job → what is above it. Owners never change. */
  readonly #cache = new Map<string, Owner>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /** undefined: a bare pod. An intermediate owner stands for itself where nothing is above it, or it cannot be read. */
  async ownerOf(namespace: string, references: readonly OwnerReference[] | undefined): Promise<Owner | undefined> {
    const direct = references?.find(({ controller }) => controller === true);
    if (direct === undefined) return undefined;
    const kind = INTERMEDIATE[direct.kind];
    if (kind === undefined) return toOwner(direct);
    const known = this.#cache.get(direct.uid);
    if (known !== undefined) return known;
    let owner = toOwner(direct);
    try {
      const object = await this.#client.get<KubeObject>(kind, direct.name, namespace);
      const above = object.metadata.ownerReferences?.find(({ controller }) => controller === true);
      if (above !== undefined) owner = toOwner(above);
    } catch (error) {
      // Without permission or answer the pod is injected all the same; only its label names the ReplicaSet then.
      if (!hasStatus(error, 404)) return owner;
    }
    if (this.#cache.size >= CACHE_SIZE) {
      const [oldest] = this.#cache.keys();
      if (oldest !== undefined) this.#cache.delete(oldest);
    }
    this.#cache.set(direct.uid, owner);
    return owner;
  }
}

function toOwner({ apiVersion, kind, name, uid }: OwnerReference): Owner {
  return { apiVersion, kind, name, uid };
}
