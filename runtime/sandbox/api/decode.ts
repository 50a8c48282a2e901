/** Takes what a client sent: checks types, drops unknown fields (telling of them), brings values into their canonical form. */
import { type Fields, isFields } from "./object.ts";
import type { Schema } from "./schema.ts";
import { badRequest, type StatusError } from "./status.ts";

export interface Decoded {
  readonly object: Fields;
  /** `unknown field "spec.replica"`, as fieldValidation=Strict refuses and Warn warns of. */
  readonly unknown: readonly string[];
}

/**
 * @param refusal what messages begin with: `Deployment in version "v1" cannot be handled as a Deployment`
 * @throws StatusError 400 where a value is of another type
 */
export function decode(value: Fields, schema: Schema, refusal: string): Decoded {
  const unknown: string[] = [];
  const place: Place = { path: "", goPath: "", struct: "" };
  const object = decodeValue(value, schema, place, { refusal, unknown }) as Fields;
  return { object, unknown };
}

interface Context {
  readonly refusal: string;
  readonly unknown: string[];
}

/** Where in the object, in the two ways of messages: with indices, and as Go's decoder tells it. */
interface Place {
  readonly path: string;
  readonly goPath: string;
  /** Innermost type. */
  readonly struct: string;
}

/** Lists that are there even when empty: their types have no omitempty. */
const KEPT_EMPTY = new Set(["V1EndpointSlice.endpoints", "V1Role.rules", "V1ClusterRole.rules"]);

function decodeValue(value: unknown, schema: Schema, place: Place, context: Context): unknown {
  // null stands for absent everywhere in typed objects.
  if (value === null || value === undefined) return undefined;
  const wrong = (): StatusError => wrongType(context, place, schema, value);
  switch (schema.type) {
    case "struct":
      if (!isFields(value)) throw wrong();
      return decodeStruct(value, schema, place, context);
    case "map": {
      if (!isFields(value)) throw wrong();
      const result: Fields = {};
      for (const [name, entry] of Object.entries(value)) {
        const decoded = decodeValue(entry, schema.element, { ...place, path: `${place.path}.${name}` }, context);
        // A map's key with null stays as the type's zero, as in Go.
        result[name] = decoded ?? (schema.element.type === "string" || schema.element.type === "bytes" ? "" : decoded);
      }
      return result;
    }
    case "list":
      if (!Array.isArray(value)) throw wrong();
      return value.map((entry, index) =>
        decodeValue(entry, schema.element, { ...place, path: `${place.path}[${index}]` }, context),
      );
    case "bytes":
      if (typeof value !== "string") throw wrong();
      if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)) {
        throw badRequest(`${context.refusal}: illegal base64 data in ${place.path}`);
      }
      return value.replace(/\s/g, "");
    case "quantity":
      return decodeQuantity(value, context, wrong);
    case "any":
      return value;
    default:
      if (!isScalar(value, schema.type)) throw wrong();
      return value;
  }
}

function decodeStruct(value: Fields, schema: Schema & { type: "struct" }, place: Place, context: Context): Fields {
  const result: Fields = {};
  for (const [name, entry] of Object.entries(value)) {
    const path = place.path === "" ? name : `${place.path}.${name}`;
    const field = schema.field(name);
    if (field === undefined) {
      if (schema.open) result[name] = entry;
      else context.unknown.push(`unknown field "${path}"`);
      continue;
    }
    const goPath = place.goPath === "" ? name : `${place.goPath}.${name}`;
    const decoded = decodeValue(entry, field, { path, goPath, struct: goName(schema.name) }, context);
    if (decoded === undefined) continue;
    const empty = isEmptyCollection(decoded, field) && !schema.keepsEmpty && !KEPT_EMPTY.has(`${schema.name}.${name}`);
    if (!empty) result[name] = decoded;
  }
  return result;
}

function isEmptyCollection(value: unknown, schema: Schema): boolean {
  if (schema.type === "list") return (value as unknown[]).length === 0;
  return schema.type === "map" && Object.keys(value as Fields).length === 0;
}

function isScalar(
  value: unknown,
  type: "string" | "time" | "boolean" | "integer" | "number" | "int-or-string",
): boolean {
  switch (type) {
    case "string":
    case "time":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "integer":
      return typeof value === "number" && Number.isInteger(value);
    case "number":
      return typeof value === "number";
    case "int-or-string":
      return typeof value === "string" || (typeof value === "number" && Number.isInteger(value));
  }
}

const QUANTITY = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|m|u|n|k|Ki|[MGTPE]i?)?$/;

function decodeQuantity(value: unknown, context: Context, wrong: () => StatusError): string {
  if (typeof value !== "number" && typeof value !== "string") throw wrong();
  if (!QUANTITY.test(String(value))) {
    throw badRequest(
      `${context.refusal}: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
    );
  }
  return String(value);
}

function wrongType(context: Context, { goPath, struct }: Place, schema: Schema, value: unknown): StatusError {
  const is = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  return badRequest(
    `${context.refusal}: json: cannot unmarshal ${is} into Go struct field ${struct}.${goPath} of type ${goType(schema)}`,
  );
}

/** `V1PodSpec` → `PodSpec`. */
function goName(model: string): string {
  return model.replace(/^(.*?)V\d(?:(?:alpha|beta)\d)?/, "");
}

function goType(schema: Schema): string {
  switch (schema.type) {
    case "struct":
      return `v1.${goName(schema.name)}`;
    case "list":
      return `[]${goType(schema.element)}`;
    case "map":
      return `map[string]${goType(schema.element)}`;
    case "integer":
      return "int32";
    case "boolean":
      return "bool";
    case "number":
      return "float64";
    default:
      return "string";
  }
}
