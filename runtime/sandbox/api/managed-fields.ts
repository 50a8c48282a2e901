/** Who owns which field of an object: what metadata.managedFields says and server-side apply decides by (KEP-555). */
import {
  changedFields,
  difference,
  emptySet,
  type FieldSet,
  fieldsOf,
  fromFieldsV1,
  intersection,
  isEmpty,
  mergeApplied,
  pathsOf,
  removeFields,
  toFieldsV1,
  union,
  withoutBelow,
} from "./field-set.ts";
import { type Fields, type ManagedFieldsEntry, type StoredObject, same, timestamp } from "./object.ts";
import type { Schema } from "./schema.ts";
import { StatusError } from "./status.ts";

export interface Writer {
  /** fieldManager, or what stands before the first "/" of the user agent. */
  readonly manager: string;
  readonly apiVersion: string;
  /** "" for the object itself, "status", … */
  readonly subresource: string;
}

/** Fields that nobody owns: identity, and what the server writes. */
const UNOWNED: FieldSet = fromFieldsV1({
  "f:apiVersion": {},
  "f:kind": {},
  "f:metadata": {
    "f:name": {},
    "f:namespace": {},
    "f:generateName": {},
    "f:uid": {},
    "f:resourceVersion": {},
    "f:creationTimestamp": {},
    "f:deletionTimestamp": {},
    "f:deletionGracePeriodSeconds": {},
    "f:generation": {},
    "f:managedFields": {},
    "f:selfLink": {},
  },
});

/** Writes `after.metadata.managedFields` for a create, PUT or patch by `writer`. */
export function recordUpdate(
  before: StoredObject | undefined,
  after: StoredObject,
  schema: Schema,
  writer: Writer,
): void {
  const owners = readOwners(before ?? after);
  const changed = withoutBelow(changedFields(before, after, schema, true), UNOWNED);
  const removed = before === undefined ? emptySet() : difference(fieldsOf(before, schema), fieldsOf(after, schema));
  for (const owner of owners) {
    owner.set = withoutBelow(difference(owner.set, changed), removed);
  }
  if (!isEmpty(changed)) {
    let own = owners.find((owner) => isWriter(owner, writer, "Update"));
    if (own === undefined) {
      own = { ...writer, operation: "Update", set: emptySet(), time: timestamp(), changed: true };
      owners.push(own);
    }
    own.set = union(own.set, changed);
    own.time = timestamp();
  }
  writeOwners(after, owners);
}

export interface ApplyResult {
  readonly object: StoredObject;
  /** False where nothing but times would be written. */
  readonly changed: boolean;
}

/**
 * Lays an applied configuration over what is there.
 * @param config decoded, without managedFields
 * @throws StatusError 409 naming each field that somebody else owns with another value, unless `force`
 */
export function applyConfiguration(
  live: StoredObject | undefined,
  config: StoredObject,
  schema: Schema,
  writer: Writer,
  force: boolean,
): ApplyResult {
  const owners = live === undefined ? [] : readOwners(live);
  const applied = withoutBelow(fieldsOf(config, schema), UNOWNED);
  let own = owners.find((owner) => isWriter(owner, writer, "Apply"));
  const others = owners.filter((owner) => owner !== own);

  const changes = withoutBelow(changedAgainst(live, config, schema), UNOWNED);
  const conflicts = others
    .map((owner) => ({ owner, fields: intersection(owner.set, changes) }))
    .filter(({ fields }) => !isEmpty(fields));
  if (conflicts.length > 0 && !force) throw applyConflict(conflicts);
  for (const { owner, fields } of conflicts) owner.set = difference(owner.set, fields);

  let merged = mergeApplied(live, config, schema) as StoredObject;
  if (own !== undefined) {
    const kept = others.reduce((all, owner) => union(all, owner.set), applied);
    merged = removeFields(merged, abandoned(own.set, kept), schema) as StoredObject;
  }
  merged.metadata = { ...merged.metadata };
  const ownChanged = own === undefined || !same(toFieldsV1(own.set), toFieldsV1(applied));
  if (own === undefined) {
    own = { ...writer, operation: "Apply", set: applied, time: timestamp(), changed: true };
    owners.push(own);
  }
  own.set = applied;
  if (ownChanged) own.time = timestamp();
  writeOwners(merged, owners);
  return { object: merged, changed: live === undefined || ownChanged || !same(live, merged) };
}

/** As changedFields; an atomic value that the configuration names and the live object lacks counts as well. */
function changedAgainst(live: StoredObject | undefined, config: StoredObject, schema: Schema): FieldSet {
  return changedFields(live, config, schema);
}

/** Members of `last` that nobody keeps. A member something of which is still owned stays; its own parts may go. */
function abandoned(last: FieldSet, kept: FieldSet | undefined): FieldSet {
  const result = emptySet(last.self && isEmpty(kept));
  for (const [key, child] of last.children) {
    const rest = abandoned(child, kept?.children.get(key));
    if (!isEmpty(rest)) result.children.set(key, rest);
  }
  return result;
}

interface Owner extends Writer {
  readonly operation: "Apply" | "Update";
  set: FieldSet;
  time: string;
  /** Kept to write untouched entries back as they were. */
  changed?: boolean;
}

function isWriter(owner: Owner, writer: Writer, operation: Owner["operation"]): boolean {
  return owner.operation === operation && owner.manager === writer.manager && owner.subresource === writer.subresource;
}

function readOwners(object: StoredObject): Owner[] {
  return (object.metadata.managedFields ?? []).map((entry) => ({
    manager: entry.manager,
    operation: entry.operation,
    apiVersion: entry.apiVersion,
    subresource: entry.subresource ?? "",
    time: entry.time ?? timestamp(),
    set: fromFieldsV1(entry.fieldsV1),
  }));
}

function writeOwners(object: StoredObject, owners: readonly Owner[]): void {
  const entries = owners
    .filter((owner) => !isEmpty(owner.set))
    .sort(byOperationAndTime)
    .map(
      (owner): ManagedFieldsEntry => ({
        manager: owner.manager,
        operation: owner.operation,
        apiVersion: owner.apiVersion,
        time: owner.time,
        fieldsType: "FieldsV1",
        fieldsV1: toFieldsV1(owner.set),
        ...(owner.subresource === "" ? {} : { subresource: owner.subresource }),
      }),
    );
  if (entries.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = entries;
}

function byOperationAndTime(a: Owner, b: Owner): number {
  if (a.operation !== b.operation) return a.operation < b.operation ? -1 : 1;
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  return a.manager < b.manager ? -1 : a.manager > b.manager ? 1 : 0;
}

function applyConflict(conflicts: readonly { owner: Owner; fields: FieldSet }[]): StatusError {
  const causes = conflicts.flatMap(({ owner, fields }) =>
    pathsOf(fields).map((field) => ({
      reason: "FieldManagerConflict",
      message: `conflict with "${owner.manager}"${using(owner)}`,
      field,
    })),
  );
  const groups = conflicts.map(({ owner, fields }) => ({ owner, paths: pathsOf(fields) }));
  const count = causes.length;
  const first = groups[0];
  let text: string;
  if (count === 1 && first !== undefined) {
    text = `conflict with "${first.owner.manager}"${using(first.owner)}: ${first.paths[0]}`;
  } else {
    text = groups
      .map(
        ({ owner, paths }) =>
          `conflicts with "${owner.manager}"${using(owner)}:\n${paths.map((path) => `- ${path}`).join("\n")}`,
      )
      .join("\n");
  }
  return new StatusError(409, "Conflict", `Apply failed with ${count} conflict${count === 1 ? "" : "s"}: ${text}`, {
    causes,
  });
}

function using(owner: Owner): string {
  const subresource = owner.subresource === "" ? "" : ` with subresource "${owner.subresource}"`;
  return owner.operation === "Apply" ? subresource : `${subresource} using ${owner.apiVersion}`;
}

/** What a client sends back of managedFields: an empty list means "forget all owners". */
export function clearsOwners(metadata: Fields): boolean {
  const fields = metadata["managedFields"];
  return Array.isArray(fields) && (fields.length === 0 || same(fields, [{}]));
}
