/** The three patches of an API server: JSON (RFC 6902), merge (RFC 7386), strategic merge (Kubernetes). */
import { copy, type Fields, isFields, same } from "./object.ts";
import type { ListSchema, Schema } from "./schema.ts";
import { badRequest, StatusError } from "./status.ts";

/** @throws StatusError 422 where an operation does not fit the object, 400 where the patch is none */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest("error decoding patch: a JSON patch is a list of operations");
  let document = copy(target);
  for (const operation of patch as Fields[]) {
    const { op, path, from } = operation;
    if (typeof path !== "string") throw badRequest("error decoding patch: an operation has no path");
    if ((op === "move" || op === "copy") && typeof from !== "string") {
      throw badRequest(`error decoding patch: a ${op} operation has no from`);
    }
    switch (op) {
      case "add":
        document = add(document, path, copy(operation["value"]));
        break;
      case "remove":
        document = remove(document, path);
        break;
      case "replace":
        document = add(remove(document, path), path, copy(operation["value"]), true);
        break;
      case "move": {
        const value = read(document, from as string);
        document = add(remove(document, from as string), path, value);
        break;
      }
      case "copy":
        document = add(document, path, copy(read(document, from as string)));
        break;
      case "test":
        if (!same(read(document, path), operation["value"])) throw unprocessable(`testing path ${path} failed`);
        break;
      default:
        throw badRequest(`error decoding patch: unexpected kind: ${String(op)}`);
    }
  }
  return document;
}

function unprocessable(message: string): StatusError {
  return new StatusError(422, "Invalid", `the server rejected our request due to an error in our request: ${message}`);
}

function tokens(path: string): string[] {
  if (path === "") return [];
  return path
    .split("/")
    .slice(1)
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function parentOf(document: unknown, path: string): { parent: Fields | unknown[]; last: string } {
  const all = tokens(path);
  const last = all.pop();
  let parent = document;
  for (const token of all) {
    parent = Array.isArray(parent) ? parent[Number(token)] : isFields(parent) ? parent[token] : undefined;
  }
  if (last === undefined || (!Array.isArray(parent) && !isFields(parent))) {
    throw unprocessable(`path ${path} leads nowhere: doc is missing path`);
  }
  return { parent, last };
}

function read(document: unknown, path: string): unknown {
  if (path === "") return document;
  const { parent, last } = parentOf(document, path);
  const value = Array.isArray(parent) ? parent[Number(last)] : parent[last];
  if (value === undefined) throw unprocessable(`path ${path} leads nowhere: doc is missing key`);
  return value;
}

function add(document: unknown, path: string, value: unknown, replacing = false): unknown {
  if (path === "") return value;
  const { parent, last } = parentOf(document, path);
  if (Array.isArray(parent)) {
    const index = last === "-" ? parent.length : Number(last);
    if (!Number.isInteger(index) || index < 0 || index > parent.length) {
      throw unprocessable(`path ${path}: index out of bounds`);
    }
    parent.splice(index, 0, value);
  } else {
    parent[last] = value;
  }
  return replacing ? document : document;
}

function remove(document: unknown, path: string): unknown {
  if (path === "") return undefined;
  read(document, path);
  const { parent, last } = parentOf(document, path);
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return document;
}

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return copy(patch);
  const result: Fields = isFields(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

const PATCH = "$patch";
const RETAIN = "$retainKeys";
const ORDER = "$setElementOrder/";
const DELETE_PRIMITIVES = "$deleteFromPrimitiveList/";

/** @param schema of the target: tells which lists merge, and by what */
export function strategicPatch(target: unknown, patch: unknown, schema: Schema): unknown {
  if (!isFields(patch)) return copy(patch);
  if (patch[PATCH] === "replace") return withoutDirectives(patch);
  if (patch[PATCH] === "delete") return undefined;
  let result: Fields = isFields(target) ? { ...target } : {};
  const retained = patch[RETAIN];
  if (Array.isArray(retained)) {
    result = Object.fromEntries(Object.entries(result).filter(([name]) => retained.includes(name)));
  }
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith("$")) continue;
    const field = fieldSchema(schema, name);
    if (value === null) delete result[name];
    else if (field.type === "list" && field.patchKey !== undefined && Array.isArray(value)) {
      result[name] = mergeList(result[name], value, field, patch[ORDER + name]);
    } else {
      const merged = isFields(value) ? strategicPatch(result[name], value, field) : copy(value);
      if (merged === undefined) delete result[name];
      else result[name] = merged;
    }
  }
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith(DELETE_PRIMITIVES) && Array.isArray(value)) {
      const list = name.slice(DELETE_PRIMITIVES.length);
      const present = result[list];
      if (Array.isArray(present)) result[list] = present.filter((entry) => !value.includes(entry));
    } else if (name.startsWith(ORDER) && Array.isArray(value) && !(name.slice(ORDER.length) in patch)) {
      const list = name.slice(ORDER.length);
      const field = fieldSchema(schema, list);
      const present = result[list];
      if (field.type === "list" && Array.isArray(present)) result[list] = inOrder(present, value, field);
    }
  }
  return result;
}

function fieldSchema(schema: Schema, name: string): Schema {
  if (schema.type === "struct") return schema.field(name) ?? { type: "any" };
  return schema.type === "map" ? schema.element : { type: "any" };
}

function mergeList(target: unknown, patch: readonly unknown[], schema: ListSchema, order: unknown): unknown[] {
  const key = schema.patchKey ?? "";
  let result: unknown[] = Array.isArray(target) ? [...target] : [];
  if (patch.some((item) => isFields(item) && item[PATCH] === "replace" && Object.keys(item).length === 1)) result = [];
  for (const item of patch) {
    if (!isFields(item)) {
      if (!result.includes(item)) result.push(item);
      continue;
    }
    if (item[PATCH] === "replace" && Object.keys(item).length === 1) continue;
    const value = item[key];
    if (value === undefined)
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const index = result.findIndex((entry) => isFields(entry) && entry[key] === value);
    if (item[PATCH] === "delete") {
      if (index !== -1) result.splice(index, 1);
    } else if (index === -1) result.push(withoutDirectives(item));
    else result[index] = strategicPatch(result[index], item, schema.element);
  }
  return Array.isArray(order) ? inOrder(result, order, schema) : result;
}

/** Items the order names come in that order; the others stay behind the item they followed. */
function inOrder(items: readonly unknown[], order: readonly unknown[], schema: ListSchema): unknown[] {
  const key = schema.patchKey ?? "";
  const id = (item: unknown): unknown => (isFields(item) ? item[key] : item);
  const ranks = new Map(order.map((item, index) => [id(item), index]));
  const ordered = items.filter((item) => ranks.has(id(item)));
  ordered.sort((a, b) => (ranks.get(id(a)) ?? 0) - (ranks.get(id(b)) ?? 0));
  const result = [...ordered];
  items.forEach((item, index) => {
    if (ranks.has(id(item))) return;
    const before = index === 0 ? undefined : items[index - 1];
    const at = before === undefined ? 0 : result.indexOf(before) + 1;
    result.splice(at, 0, item);
  });
  return result;
}

function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives);
  if (!isFields(value)) return value;
  const result: Fields = {};
  for (const [name, entry] of Object.entries(value)) {
    if (!name.startsWith("$") && entry !== null) result[name] = withoutDirectives(entry);
  }
  return result;
}
