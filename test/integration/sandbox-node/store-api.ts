/** The API as the node sees it (runtime/sandbox/seam.ts) over the sandbox's store alone: no admission, no controllers. */

import { resource } from "../../../runtime/kube/resources.ts";
import type { KubeObject, Resource } from "../../../runtime/kube/types.ts";
import type { StoredObject } from "../../../runtime/sandbox/api/object.ts";
import { notFound } from "../../../runtime/sandbox/api/status.ts";
import { ObjectStore } from "../../../runtime/sandbox/api/store.ts";
import type { MintedToken, SandboxApi, StoreChange, TokenOptions } from "../../../runtime/sandbox/seam.ts";

export interface RecordedEvent {
  readonly object: string;
  readonly reason: string;
  readonly message: string;
}

export class StoreApi implements SandboxApi {
  readonly events: RecordedEvent[] = [];
  readonly minted: TokenOptions[] = [];
  readonly #store = new ObjectStore();

  get<T extends KubeObject>(kind: Resource, name: string, namespace?: string): T | undefined {
    return this.#store.get(kind, namespace, name) as T | undefined;
  }

  list<T extends KubeObject>(kind: Resource, namespace?: string): T[] {
    return this.#store.snapshot(kind, namespace).objects as unknown as T[];
  }

  watch<T extends KubeObject>(kind: Resource, listener: (change: StoreChange<T>) => void): () => void {
    const { revision, objects } = this.#store.snapshot(kind);
    for (const object of objects) listener({ type: "added", object: object as unknown as T });
    return this.#store.watch(kind, revision, ({ type, object, previous }) => {
      const change = { type, object, ...(previous && { previous }) } as unknown as StoreChange<T>;
      queueMicrotask(() => listener(change));
    });
  }

  create<T extends KubeObject>(kind: Resource, object: T): T {
    return this.#store.create(kind, structuredClone(object) as unknown as StoredObject) as unknown as T;
  }

  update<T extends KubeObject>(
    kind: Resource,
    name: string,
    namespace: string | undefined,
    change: (copy: T) => void,
    subresource?: "status",
  ): T {
    const present = this.#store.get(kind, namespace, name);
    if (present === undefined) throw notFound(kind, name);
    const copy = structuredClone(present) as unknown as T;
    change(copy);
    const next = subresource === "status" ? { ...structuredClone(present), status: copy["status"] } : copy;
    if (JSON.stringify(next) === JSON.stringify(present)) return present as unknown as T;
    return this.#store.update(kind, next as unknown as StoredObject, present) as unknown as T;
  }

  delete(kind: Resource, name: string, namespace: string): void {
    const present = this.#store.get(kind, namespace, name);
    if (present !== undefined) this.#store.delete(kind, present);
  }

  /** A user's DELETE of a pod. */
  deletePod(namespace: string, name: string, graceSeconds = 30): void {
    this.update(resource.pods, name, namespace, ({ metadata }) => {
      metadata.deletionTimestamp = new Date().toISOString();
      Object.assign(metadata, { deletionGracePeriodSeconds: graceSeconds });
    });
  }

  finishPod(namespace: string, name: string, uid: string): boolean {
    const present = this.#store.get(resource.pods, namespace, name);
    if (present?.metadata.uid !== uid) return false;
    this.#store.delete(resource.pods, present);
    return true;
  }

  mintToken(options: TokenOptions): MintedToken {
    this.minted.push(options);
    const life = (options.expirationSeconds ?? 3600) * 1000;
    return { token: `token-${this.minted.length}`, expiresAt: new Date(Date.now() + life) };
  }

  event(object: KubeObject, _type: "Normal" | "Warning", reason: string, message: string): void {
    this.events.push({ object: object.metadata.name, reason, message });
  }
}
