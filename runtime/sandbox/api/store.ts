/**
 * One generic object store: versions that grow with every write, a window of history that watches start from, and
 * snapshots for paged lists. It knows nothing of what the objects mean.
 */
import { randomUUID } from "node:crypto";
import type { Resource } from "../../kube/types.ts";
import { keyOf, type StoredObject, timestamp } from "./object.ts";
import { alreadyExists, expired, modified, notFound } from "./status.ts";

export interface StoreEvent {
  readonly revision: number;
  readonly type: "added" | "updated" | "deleted";
  readonly object: StoredObject;
  readonly previous?: StoredObject;
}

export interface Snapshot {
  readonly revision: number;
  /** Sorted by key. */
  readonly objects: readonly StoredObject[];
}

/** What identifies a kind in the store, whatever version it is asked in. */
export type StorageKind = Pick<Resource, "group" | "plural">;

/** Events a kind keeps for watches that start in the past. */
const WINDOW = 1024;

class Collection {
  readonly objects = new Map<string, StoredObject>();
  readonly listeners = new Set<(event: StoreEvent) => void>();
  history: StoreEvent[] = [];
  /** Every object by key, as lists show them; made again after a write. */
  sorted: readonly StoredObject[] | undefined;
  /** Watches may start after this revision. */
  windowStart: number;

  constructor(revision: number) {
    this.windowStart = revision;
  }
}

export class ObjectStore {
  readonly #collections = new Map<string, Collection>();
  #revision = 1;

  /** The version of the last write. */
  get revision(): number {
    return this.#revision;
  }

  get(kind: StorageKind, namespace: string | undefined, name: string): StoredObject | undefined {
    return this.#of(kind).objects.get(keyOf(namespace, name));
  }

  /** Every object of a kind, sorted by namespace and name. */
  snapshot(kind: StorageKind, namespace?: string): Snapshot {
    const collection = this.#of(kind);
    collection.sorted ??= [...collection.objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    const objects =
      namespace === undefined
        ? collection.sorted
        : collection.sorted.filter(({ metadata }) => metadata.namespace === namespace);
    return { revision: this.#revision, objects };
  }

  /** Takes `object` as its own: gives it uid, creation time and version. @throws StatusError 409 AlreadyExists */
  create(kind: StorageKind, object: StoredObject): StoredObject {
    const collection = this.#of(kind);
    const { metadata } = object;
    const key = keyOf(metadata.namespace, metadata.name);
    if (collection.objects.has(key)) throw alreadyExists(kind, metadata.name);
    metadata.uid ??= randomUUID();
    metadata.creationTimestamp ??= timestamp();
    metadata.resourceVersion = String(++this.#revision);
    collection.objects.set(key, object);
    this.#tell(collection, { revision: this.#revision, type: "added", object });
    return object;
  }

  /** Takes `object` as its own. @throws StatusError 404, or 409 where it was made from another version than `expected` */
  update(kind: StorageKind, object: StoredObject, expected: StoredObject): StoredObject {
    const collection = this.#of(kind);
    const { metadata } = object;
    const key = keyOf(metadata.namespace, metadata.name);
    const previous = collection.objects.get(key);
    if (previous === undefined) throw notFound(kind, metadata.name);
    if (previous !== expected) throw modified(kind, metadata.name);
    metadata.resourceVersion = String(++this.#revision);
    collection.objects.set(key, object);
    this.#tell(collection, { revision: this.#revision, type: "updated", object, previous });
    return object;
  }

  /** @returns the object as its watchers saw it go */
  delete(kind: StorageKind, expected: StoredObject): StoredObject {
    const collection = this.#of(kind);
    const key = keyOf(expected.metadata.namespace, expected.metadata.name);
    const previous = collection.objects.get(key);
    if (previous === undefined) throw notFound(kind, expected.metadata.name);
    if (previous !== expected) throw modified(kind, expected.metadata.name);
    collection.objects.delete(key);
    const revision = ++this.#revision;
    const object = { ...previous, metadata: { ...previous.metadata, resourceVersion: String(revision) } };
    this.#tell(collection, { revision, type: "deleted", object, previous });
    return object;
  }

  /**
   * Every event after `revision`, those of the past at once. Listeners are called in the write itself: they must be quick.
   * @throws StatusError 410 where the window no longer reaches back that far
   */
  watch(kind: StorageKind, revision: number, listener: (event: StoreEvent) => void): () => void {
    const collection = this.#of(kind);
    if (revision < collection.windowStart) {
      throw expired(`too old resource version: ${revision} (${collection.windowStart})`);
    }
    for (const event of collection.history) if (event.revision > revision) listener(event);
    collection.listeners.add(listener);
    return () => collection.listeners.delete(listener);
  }

  /** Forgets all history: what a compaction of etcd and a restarted API server do to watches that come back. */
  compact(): void {
    for (const collection of this.#collections.values()) {
      collection.history = [];
      collection.windowStart = this.#revision;
    }
  }

  #of(kind: StorageKind): Collection {
    const id = `${kind.group}/${kind.plural}`;
    let collection = this.#collections.get(id);
    if (collection === undefined) {
      collection = new Collection(this.#revision);
      this.#collections.set(id, collection);
    }
    return collection;
  }

  #tell(collection: Collection, event: StoreEvent): void {
    collection.sorted = undefined;
    collection.history.push(event);
    if (collection.history.length > WINDOW * 1.25) {
      const dropped = collection.history.splice(0, collection.history.length - WINDOW);
      collection.windowStart = dropped.at(-1)?.revision ?? collection.windowStart;
    }
    for (const listener of [...collection.listeners]) listener(event);
  }
}
