/** Sets of fields, in the tree form that managedFields has on the wire (fieldsV1; structured-merge-diff). */
import { copy, type Fields, isFields, same } from "./object.ts";
import type { ListSchema, Schema } from "./schema.ts";

/** A node is a member itself, or only leads to members. Keys: `f:name`, `k:{"name":"a"}`, `v:"a"`. */
export interface FieldSet {
  self: boolean;
  readonly children: Map<string, FieldSet>;
}

export function emptySet(self = false): FieldSet {
  return { self, children: new Map() };
}

export function isEmpty(set: FieldSet | undefined): boolean {
  return set === undefined || (!set.self && set.children.size === 0);
}

/** Every field of a value. */
export function fieldsOf(value: unknown, schema: Schema): FieldSet {
  return changedFields(undefined, value, schema);
}

/**
 * The fields of `after` that are not in `before`, or have another value there.
 * @param maps a new map is itself a member, as in what updates own
 */
export function changedFields(before: unknown, after: unknown, schema: Schema, maps = false): FieldSet {
  if (after === undefined) return emptySet();
  const children = entriesOf(after, schema);
  if (children === undefined || children.size === 0) {
    return emptySet(before === undefined || !same(before, after));
  }
  const old = before === undefined ? undefined : entriesOf(before, schema);
  const isItems = schema.type === "list";
  const set = emptySet(maps && schema.type === "map" && before === undefined);
  for (const [key, [value, childSchema]] of children) {
    const [oldValue] = old?.get(key) ?? [undefined];
    const child = changedFields(oldValue, value, childSchema, maps);
    if (isItems && oldValue === undefined) child.self = true;
    if (!isEmpty(child)) set.children.set(key, child);
  }
  return set;
}

/** The parts of a value that can have owners of their own; undefined for what is owned as a whole. */
function entriesOf(value: unknown, schema: Schema): Map<string, [value: unknown, schema: Schema]> | undefined {
  if (schema.type === "list") {
    if (schema.merge === "atomic" || !Array.isArray(value)) return undefined;
    return new Map(value.map((item) => [itemKey(item, schema), [item, schema.element]]));
  }
  if ((schema.type !== "struct" && schema.type !== "map") || schema.atomic || !isFields(value)) return undefined;
  const entries = new Map<string, [unknown, Schema]>();
  for (const [name, entry] of Object.entries(value)) {
    if (entry === undefined) continue;
    const child = schema.type === "map" ? schema.element : (schema.field(name) ?? { type: "any" });
    entries.set(`f:${name}`, [entry, child]);
  }
  return entries;
}

/** What identifies an item of a set or map list. */
export function itemKey(item: unknown, schema: ListSchema): string {
  if (schema.merge !== "map" || !isFields(item)) return `v:${JSON.stringify(item)}`;
  const keys: Fields = {};
  for (const name of [...schema.keys].sort()) {
    const value = item[name] ?? defaultKey(name);
    if (value !== undefined) keys[name] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

function defaultKey(name: string): string | undefined {
  return name === "protocol" ? "TCP" : undefined;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const result = emptySet(a.self || b.self);
  for (const [key, child] of a.children) result.children.set(key, child);
  for (const [key, child] of b.children) {
    const present = result.children.get(key);
    result.children.set(key, present === undefined ? child : union(present, child));
  }
  return result;
}

/** Members of `a` that are none of `b`. */
export function difference(a: FieldSet, b: FieldSet | undefined): FieldSet {
  if (b === undefined) return a;
  const result = emptySet(a.self && !b.self);
  for (const [key, child] of a.children) {
    const rest = difference(child, b.children.get(key));
    if (!isEmpty(rest)) result.children.set(key, rest);
  }
  return result;
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const result = emptySet(a.self && b.self);
  for (const [key, child] of a.children) {
    const other = b.children.get(key);
    if (other === undefined) continue;
    const both = intersection(child, other);
    if (!isEmpty(both)) result.children.set(key, both);
  }
  return result;
}

/** `a` without the members of `b` and all that is below those: what is left of an owner's fields when values went. */
export function withoutBelow(a: FieldSet, b: FieldSet | undefined): FieldSet {
  if (b === undefined) return a;
  if (b.self) return emptySet();
  const result = emptySet(a.self);
  for (const [key, child] of a.children) {
    const rest = withoutBelow(child, b.children.get(key));
    if (!isEmpty(rest)) result.children.set(key, rest);
  }
  return result;
}

/** Members as paths: `.spec.replicas`, `.spec.ports[port=80,protocol="TCP"].name`. */
export function pathsOf(set: FieldSet, prefix = ""): string[] {
  const paths = set.self && prefix !== "" ? [prefix] : [];
  for (const [key, child] of set.children) paths.push(...pathsOf(child, prefix + pathElement(key)));
  return paths;
}

function pathElement(key: string): string {
  const rest = key.slice(2);
  if (key.startsWith("f:")) return `.${rest}`;
  if (key.startsWith("v:")) return `[=${rest}]`;
  const pairs = Object.entries(JSON.parse(rest) as Fields);
  return `[${pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}]`;
}

export function toFieldsV1(set: FieldSet): Fields {
  const result: Fields = {};
  if (set.self && set.children.size > 0) result["."] = {};
  for (const [key, child] of [...set.children].sort(([a], [b]) => (a < b ? -1 : 1))) result[key] = toFieldsV1(child);
  return result;
}

export function fromFieldsV1(fields: unknown): FieldSet {
  return fromNode(isFields(fields) ? fields : {}, true);
}

function fromNode(node: Fields, root: boolean): FieldSet {
  const keys = Object.keys(node);
  const set = emptySet(!root && (keys.length === 0 || "." in node));
  for (const key of keys) if (key !== ".") set.children.set(key, fromNode(node[key] as Fields, false));
  return set;
}

/** Takes the members of `gone` out of a value; maps and lists that this empties go too. */
export function removeFields(value: unknown, gone: FieldSet, schema: Schema): unknown {
  if (schema.type === "list" && Array.isArray(value)) {
    const kept: unknown[] = [];
    for (const item of value) {
      const child = gone.children.get(itemKey(item, schema));
      if (child?.self === true) continue;
      kept.push(child === undefined ? item : removeFields(item, child, schema.element));
    }
    return kept.length === 0 ? undefined : kept;
  }
  if ((schema.type !== "struct" && schema.type !== "map") || !isFields(value)) return value;
  const result = { ...value };
  for (const [key, child] of gone.children) {
    const name = key.slice(2);
    if (!(name in result)) continue;
    const childSchema = schema.type === "map" ? schema.element : (schema.field(name) ?? { type: "any" as const });
    const rest = child.self ? undefined : removeFields(result[name], child, childSchema);
    if (rest === undefined || (isFields(rest) && Object.keys(rest).length === 0)) delete result[name];
    else result[name] = rest;
  }
  return result;
}

/** `config` laid over `live`: what it names is as it says, all else stays (server-side apply's merge). */
export function mergeApplied(live: unknown, config: unknown, schema: Schema): unknown {
  if (live === undefined || config === undefined) return copy(config ?? live);
  if (schema.type === "list" && schema.merge !== "atomic" && Array.isArray(live) && Array.isArray(config)) {
    return mergeItems(live, config, schema);
  }
  const granular = (schema.type === "struct" || schema.type === "map") && !schema.atomic;
  if (!granular || !isFields(live) || !isFields(config)) return copy(config);
  const result: Fields = { ...live };
  for (const [name, value] of Object.entries(config)) {
    const child = schema.type === "map" ? schema.element : (schema.field(name) ?? { type: "any" as const });
    result[name] = mergeApplied(live[name], value, child);
  }
  return result;
}

/** In the order of `config`; items only `live` has stay behind the one they followed. */
function mergeItems(live: readonly unknown[], config: readonly unknown[], schema: ListSchema): unknown[] {
  const present = new Map(live.map((item) => [itemKey(item, schema), item]));
  const applied = new Set(config.map((item) => itemKey(item, schema)));
  const following = new Map<string, unknown[]>();
  let anchor = "";
  for (const item of live) {
    const key = itemKey(item, schema);
    if (applied.has(key)) anchor = key;
    else following.set(anchor, [...(following.get(anchor) ?? []), item]);
  }
  const result = [...(following.get("") ?? [])];
  for (const item of config) {
    const key = itemKey(item, schema);
    result.push(mergeApplied(present.get(key), item, schema.element), ...(following.get(key) ?? []));
  }
  return result;
}
