/** What every write keeps to, whatever the kind: names, namespaces, what a subresource may touch, when an object goes. */
import { checkAnnotations, checkLabels, checkName, required } from "./field-errors.ts";
import type { Kind } from "./kind.ts";
import { copy, type Fields, isFields, type StoredMeta, type StoredObject, same } from "./object.ts";
import { badRequest } from "./status.ts";

/** Fields of metadata that only the server writes. */
export const SERVER_FIELDS = [
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "resourceVersion",
  "generation",
  "managedFields",
] as const;

export function placeInNamespace(kind: Kind, metadata: StoredMeta, namespace: string | undefined): void {
  if (!kind.namespaced) {
    if ((metadata.namespace ?? "") !== "") throw badRequest("namespace may not be set on a cluster-scoped object");
    delete metadata.namespace;
    return;
  }
  if ((metadata.namespace ?? "") !== "" && metadata.namespace !== namespace) {
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  }
  if (namespace !== undefined) metadata.namespace = namespace;
}

export function validateMeta(kind: Kind, object: StoredObject): ReturnType<Kind["validate"]> {
  const { metadata } = object;
  const errors =
    metadata.name === ""
      ? [required("metadata.name", "name or generateName is required")]
      : checkName("metadata.name", metadata.name, kind.names);
  errors.push(...checkLabels("metadata.labels", metadata.labels));
  errors.push(...checkAnnotations("metadata.annotations", metadata.annotations));
  return errors;
}

/** What a write to this door may change; all else is as it was. */
export function mergeBySubresource(
  object: StoredObject,
  old: StoredObject,
  kind: Kind,
  subresource: string,
): StoredObject {
  const metadata: StoredMeta = { ...object.metadata };
  keepServerFields(metadata, old.metadata);
  if (subresource === "") {
    const next: StoredObject = { ...object, metadata };
    if (kind.status) {
      delete next["status"];
      if (old["status"] !== undefined) next["status"] = old["status"];
    }
    return copy(next);
  }
  if (subresource === "finalize") return copy({ ...old, metadata, spec: object["spec"] });
  // Status: only it, and for what belongs to it its owners.
  const { managedFields } = metadata;
  const kept: StoredMeta = { ...old.metadata };
  if (managedFields !== undefined) kept.managedFields = managedFields;
  const next: StoredObject = { ...old, metadata: kept };
  if (object["status"] === undefined) delete next["status"];
  else next["status"] = object["status"];
  return copy(next);
}

function keepServerFields(metadata: StoredMeta, old: StoredMeta): void {
  const target = metadata as Fields & StoredMeta;
  for (const field of SERVER_FIELDS) {
    if (field === "managedFields" && metadata.managedFields !== undefined) continue;
    if (old[field] === undefined) delete target[field];
    else (target as Fields)[field] = old[field];
  }
  if (metadata.generateName === undefined && old.generateName !== undefined) metadata.generateName = old.generateName;
}

/** Of an applied configuration, what the door lets through: owners must not claim the rest. */
export function onlySubresource(
  config: StoredObject,
  live: StoredObject,
  kind: Kind,
  subresource: string,
): StoredObject {
  const result: StoredObject = copy(config);
  if (subresource === "status") {
    const { name, namespace } = live.metadata;
    const bare: StoredObject = {
      apiVersion: config.apiVersion,
      kind: config.kind,
      metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    };
    if (config["status"] !== undefined) bare["status"] = config["status"];
    return bare;
  }
  if (kind.status) delete result["status"];
  return result;
}

export function isFinished(object: StoredObject): boolean {
  const { metadata } = object;
  const spec = object["spec"];
  const holds =
    object.kind === "Namespace" && isFields(spec) && Array.isArray(spec["finalizers"]) ? spec["finalizers"].length : 0;
  const waits = object.kind === "Pod" && (metadata.deletionGracePeriodSeconds ?? 0) > 0;
  return (metadata.finalizers ?? []).length === 0 && holds === 0 && !waits;
}

export function withoutMetaAndStatus(object: StoredObject): Fields {
  const { metadata: _metadata, status: _status, ...rest } = object;
  return rest;
}

export function withoutOwners(object: StoredObject): Fields {
  const { managedFields: _owners, ...metadata } = object.metadata;
  return { ...object, metadata };
}

export function sameOwners(a: StoredMeta["managedFields"], b: StoredMeta["managedFields"]): boolean {
  const timeless = (entries: StoredMeta["managedFields"]): unknown[] =>
    (entries ?? []).map(({ time: _time, ...entry }) => entry);
  return same(timeless(a), timeless(b));
}

/** What a dry-run create answers: as stored, with an identity nobody will find again. */
export function asCreated(object: StoredObject): StoredObject {
  return {
    ...object,
    metadata: {
      ...object.metadata,
      uid: crypto.randomUUID(),
      creationTimestamp: `${new Date().toISOString().slice(0, 19)}Z`,
    },
  };
}
