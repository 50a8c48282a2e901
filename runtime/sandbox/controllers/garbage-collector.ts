/** Objects go with their owners (metadata.ownerReferences): after them, before them, or not at all. */
import type { OwnerReference } from "../../kube/types.ts";
import type { ApiServer } from "../api/api-server.ts";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "../api/deletion.ts";
import type { Kind } from "../api/kind.ts";
import { copy, keyOf, type StoredObject } from "../api/object.ts";
import type { StoreEvent } from "../api/store.ts";
import { type Controller, WorkQueue } from "./queue.ts";

export function startGarbageCollector(
  server: ApiServer,
  report: (error: unknown) => void,
): Controller & { follow(kind: Kind): void } {
  const { store, registry, deletion } = server;
  const queue = new WorkQueue((key) => reconcile(key), report);
  const followed = new Map<string, () => void>();

  function follow(kind: Kind): void {
    const id = `${kind.group}/${kind.plural}`;
    if (followed.has(id)) return;
    const { objects, revision } = store.snapshot(kind);
    for (const object of objects) consider(kind, object);
    followed.set(
      id,
      store.watch(kind, revision, (event) => onEvent(kind, event)),
    );
  }

  function onEvent(kind: Kind, { type, object }: StoreEvent): void {
    if (type === "deleted") {
      for (const { kind: of, object: dependent } of dependents(object)) consider(of, dependent, true);
      // Owners that wait for their dependents to go first.
      for (const owner of object.metadata.ownerReferences ?? []) considerOwner(owner, object.metadata.namespace);
    } else consider(kind, object);
  }

  function consider(kind: Kind, object: StoredObject, always = false): void {
    const { metadata } = object;
    const owned = (metadata.ownerReferences ?? []).length > 0;
    const waits = metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length > 0;
    if (always || owned || waits)
      queue.add(`${kind.group}|${kind.version}|${kind.plural}|${keyOf(metadata.namespace, metadata.name)}`);
  }

  function considerOwner(reference: OwnerReference, namespace: string | undefined): void {
    const kind = registry.byKind(reference.apiVersion, reference.kind);
    if (kind === undefined) return;
    const owner = store.get(kind, kind.namespaced ? namespace : undefined, reference.name);
    if (owner !== undefined && owner.metadata.uid === reference.uid) consider(kind, owner);
  }

  function reconcile(key: string): void {
    const [group = "", version = "", plural = "", place = ""] = key.split("|");
    const kind = registry.find(group, version, plural);
    if (kind === undefined) return;
    const slash = place.indexOf("/");
    const namespace = slash === -1 ? undefined : place.slice(0, slash);
    const object = store.get(kind, namespace, place.slice(slash + 1));
    if (object === undefined) return;
    if (object.metadata.deletionTimestamp !== undefined) finalize(kind, object);
    else collect(kind, object);
  }

  /** Removes it where no owner is left; forgets owners that are gone where one is. */
  function collect(kind: Kind, object: StoredObject): void {
    const references = object.metadata.ownerReferences ?? [];
    if (references.length === 0) return;
    const owners = references.map((reference) => ({ reference, owner: ownerOf(reference, object.metadata.namespace) }));
    const solid = owners.filter(({ owner }) => owner !== "absent" && !isForeground(owner));
    const waiting = owners.filter(({ owner }) => owner !== "absent" && isForeground(owner));
    if (solid.length === 0) {
      deletion.deleteNow(kind, object, {
        propagationPolicy: waiting.length > 0 && dependents(object).length > 0 ? "Foreground" : "Background",
      });
    } else if (solid.length < references.length) {
      const next = copy(object);
      next.metadata.ownerReferences = solid.map(({ reference }) => reference);
      store.update(kind, next, object);
    }
  }

  /** "unknown": of a kind that is not served, which may be anywhere. */
  function ownerOf(reference: OwnerReference, namespace: string | undefined): StoredObject | "absent" | "unknown" {
    const kind = registry.byKind(reference.apiVersion, reference.kind);
    if (kind === undefined) return "unknown";
    const owner = store.get(kind, kind.namespaced ? namespace : undefined, reference.name);
    return owner === undefined || owner.metadata.uid !== reference.uid ? "absent" : owner;
  }

  function finalize(kind: Kind, object: StoredObject): void {
    const finalizers = object.metadata.finalizers ?? [];
    const own = dependents(object);
    if (finalizers.includes(ORPHAN_FINALIZER)) {
      for (const { kind: of, object: dependent } of own) {
        const next = copy(dependent);
        const rest = (next.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== object.metadata.uid);
        if (rest.length === 0) delete next.metadata.ownerReferences;
        else next.metadata.ownerReferences = rest;
        store.update(of, next, dependent);
      }
      release(kind, object, ORPHAN_FINALIZER);
    } else if (finalizers.includes(FOREGROUND_FINALIZER)) {
      for (const { kind: of, object: dependent } of own) consider(of, dependent, true);
      const blocking = own.filter(({ object: dependent }) =>
        dependent.metadata.ownerReferences?.some(
          (reference) => reference.uid === object.metadata.uid && reference.blockOwnerDeletion === true,
        ),
      );
      if (blocking.length === 0) release(kind, object, FOREGROUND_FINALIZER);
    }
  }

  function release(kind: Kind, object: StoredObject, finalizer: string): void {
    const next = copy(object);
    const rest = (next.metadata.finalizers ?? []).filter((entry) => entry !== finalizer);
    if (rest.length > 0) next.metadata.finalizers = rest;
    else delete next.metadata.finalizers;
    if (rest.length === 0 && (next.metadata.deletionGracePeriodSeconds ?? 0) === 0) store.delete(kind, object);
    else store.update(kind, next, object);
  }

  function dependents(owner: StoredObject): { kind: Kind; object: StoredObject }[] {
    const { namespace, uid } = owner.metadata;
    return registry.stored().flatMap((kind) => {
      if (namespace !== undefined && !kind.namespaced) return [];
      const { objects } = store.snapshot(kind, namespace);
      return objects
        .filter((object) => object.metadata.ownerReferences?.some((reference) => reference.uid === uid))
        .map((object) => ({ kind, object }));
    });
  }

  for (const kind of registry.stored()) follow(kind);
  return {
    follow,
    stop() {
      for (const stop of followed.values()) stop();
      queue.stop();
    },
  };
}

function isForeground(owner: StoredObject | "unknown"): boolean {
  return (
    owner !== "unknown" &&
    owner.metadata.deletionTimestamp !== undefined &&
    (owner.metadata.finalizers ?? []).includes(FOREGROUND_FINALIZER)
  );
}
