/** The objects that the API stores, and the small things done to them everywhere. */
import type { KubeObject, ObjectMeta } from "../../kube/types.ts";

/** Who owns which fields (KEP-555). */
export interface ManagedFieldsEntry {
  manager: string;
  operation: "Apply" | "Update";
  apiVersion: string;
  time?: string;
  fieldsType: "FieldsV1";
  fieldsV1: Record<string, unknown>;
  subresource?: string;
}

export interface StoredMeta extends ObjectMeta {
  deletionGracePeriodSeconds?: number;
  managedFields?: ManagedFieldsEntry[];
}

/** An object as it lies in the store. Never written into: changes are made to a {@link copy}. */
export interface StoredObject extends KubeObject {
  metadata: StoredMeta;
}

export type Json = string | number | boolean | null | Json[] | { [field: string]: Json };
export type Fields = Record<string, unknown>;

/** JSON in, JSON out: faster than structuredClone for what API objects are. */
export function copy<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copy) as T;
  if (typeof value !== "object" || value === null) return value;
  const result: Fields = {};
  for (const [key, entry] of Object.entries(value)) if (entry !== undefined) result[key] = copy(entry);
  return result as T;
}

/** Deep equality of JSON; the order of a map's keys does not count, absent and undefined are the same. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((entry, index) => same(entry, b[index]));
  }
  const left = a as Fields;
  const right = b as Fields;
  for (const key of Object.keys(left)) if (!same(left[key], right[key])) return false;
  for (const key of Object.keys(right)) if (right[key] !== undefined && left[key] === undefined) return false;
  return true;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The map at a field, or an empty one. */
export function fieldsAt(value: unknown, ...path: string[]): Fields {
  let current = value;
  for (const name of path) current = isFields(current) ? current[name] : undefined;
  return isFields(current) ? current : {};
}

export function listAt(value: unknown, ...path: string[]): Fields[] {
  const last = path.at(-1) ?? "";
  const list = fieldsAt(value, ...path.slice(0, -1))[last];
  return Array.isArray(list) ? (list as Fields[]) : [];
}

export function stringAt(value: unknown, ...path: string[]): string | undefined {
  const found = fieldsAt(value, ...path.slice(0, -1))[path.at(-1) ?? ""];
  return typeof found === "string" ? found : undefined;
}

export function numberAt(value: unknown, ...path: string[]): number | undefined {
  const found = fieldsAt(value, ...path.slice(0, -1))[path.at(-1) ?? ""];
  return typeof found === "number" ? found : undefined;
}

/** `<namespace>/<name>`, or `<name>`: sorts as etcd's keys do. */
export function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
}

/** metav1.Time: whole seconds. */
export function timestamp(date: Date = new Date()): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** metav1.MicroTime. */
export function microTimestamp(date: Date = new Date()): string {
  return `${date.toISOString().slice(0, 23)}000Z`;
}

const SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789";

/** Five letters and digits that form no words, as generateName appends them. */
export function randomSuffix(length = 5): string {
  let text = "";
  for (let index = 0; index < length; index++) {
    text += SUFFIX_LETTERS[Math.floor(Math.random() * SUFFIX_LETTERS.length)];
  }
  return text;
}

/** The map at `name`, made where it is absent. */
export function ensureFields(target: object, name: string): Fields {
  const fields = target as Fields;
  if (!isFields(fields[name])) fields[name] = {};
  return fields[name] as Fields;
}
