/** Custom resources by their definitions' structural schemas (apiextensions/v1 JSONSchemaProps): shape, pruning, defaults, validation. */
import { invalidValue, required, unsupported } from "./field-errors.ts";
import { copy, type Fields, fieldsAt, isFields, same } from "./object.ts";
import { modelSchema, type Schema, type StructSchema } from "./schema.ts";
import type { FieldError } from "./status.ts";

/** Marks schemas of custom resources: they keep what is empty, and their lists repeat apiVersion and kind. */
export const CUSTOM = "custom ";

const METADATA = ["apiVersion", "kind", "metadata"];

/** @param schema openAPIV3Schema of a version */
export function customSchema(kind: string, schema: Fields): StructSchema {
  const shape = shapeOf(schema) as StructSchema;
  return {
    ...shape,
    name: `${CUSTOM}${kind}`,
    field(name) {
      if (name === "metadata") return modelSchema("V1ObjectMeta");
      return name === "apiVersion" || name === "kind" ? { type: "string" } : shape.field(name);
    },
  };
}

function shapeOf(schema: Fields): Schema {
  if (schema["x-kubernetes-int-or-string"] === true) return { type: "int-or-string" };
  switch (schema["type"]) {
    case "object": {
      const additional = schema["additionalProperties"];
      if (isFields(additional)) {
        return { type: "map", element: shapeOf(additional), atomic: schema["x-kubernetes-map-type"] === "atomic" };
      }
      const properties = fieldsAt(schema, "properties");
      const open = schema["x-kubernetes-preserve-unknown-fields"] === true || additional === true;
      return {
        type: "struct",
        name: CUSTOM,
        atomic: schema["x-kubernetes-map-type"] === "atomic",
        open,
        keepsEmpty: true,
        field: (name) => (isFields(properties[name]) ? shapeOf(properties[name]) : open ? { type: "any" } : undefined),
      };
    }
    case "array": {
      const kind = schema["x-kubernetes-list-type"];
      const keys = schema["x-kubernetes-list-map-keys"];
      return {
        type: "list",
        element: shapeOf(fieldsAt(schema, "items")),
        merge: kind === "map" || kind === "set" ? kind : "atomic",
        keys: Array.isArray(keys) ? (keys as string[]) : [],
      };
    }
    case "string":
    case "integer":
    case "number":
    case "boolean":
      return { type: schema["type"] };
    default:
      return { type: "any" };
  }
}

/** Drops fields the schema does not know. @returns them as `unknown field "spec.x"` */
export function prune(object: Fields, schema: Fields): string[] {
  const unknown: string[] = [];
  pruneValue(object, schema, "", unknown);
  return unknown;
}

function pruneValue(value: unknown, schema: Fields, path: string, unknown: string[]): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries())
      pruneValue(item, fieldsAt(schema, "items"), `${path}[${index}]`, unknown);
    return;
  }
  if (!isFields(value)) return;
  const properties = fieldsAt(schema, "properties");
  const additional = schema["additionalProperties"];
  for (const name of Object.keys(value)) {
    if (path === "" && METADATA.includes(name)) continue;
    const at = path === "" ? name : `${path}.${name}`;
    const known = properties[name] ?? (isFields(additional) ? additional : undefined);
    if (isFields(known)) pruneValue(value[name], known, at, unknown);
    else if (schema["x-kubernetes-preserve-unknown-fields"] !== true && additional !== true) {
      delete value[name];
      unknown.push(`unknown field "${at}"`);
    }
  }
}

/** Fills in the schema's defaults, also in what it defaulted itself. */
export function applyDefaults(value: unknown, schema: Fields): void {
  if (Array.isArray(value)) {
    for (const item of value) applyDefaults(item, fieldsAt(schema, "items"));
    return;
  }
  if (!isFields(value)) return;
  for (const [name, property] of Object.entries(fieldsAt(schema, "properties"))) {
    if (!isFields(property)) continue;
    if (value[name] === undefined && property["default"] !== undefined) value[name] = copy(property["default"]);
    applyDefaults(value[name], property);
  }
  const additional = schema["additionalProperties"];
  if (isFields(additional)) for (const entry of Object.values(value)) applyDefaults(entry, additional);
}

/** In the words of the real one: `spec.port: Required value`. */
export function validateCustom(value: unknown, schema: Fields, path = ""): FieldError[] {
  const shown = path === "" ? "<nil>" : path;
  if (value === null) return schema["nullable"] === true ? [] : [wrongType(shown, "null", schema)];
  if (!hasType(value, schema)) return [wrongType(shown, value, schema)];
  const errors = [...limits(value, schema, shown), ...combinations(value, schema, path)];
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      errors.push(...validateCustom(item, fieldsAt(schema, "items"), `${path}[${index}]`));
    });
  } else if (isFields(value)) {
    const at = (name: string): string => (path === "" ? name : `${path}.${name}`);
    const needed = Array.isArray(schema["required"]) ? (schema["required"] as string[]) : [];
    for (const name of needed) if (value[name] === undefined) errors.push(required(at(name)));
    const properties = fieldsAt(schema, "properties");
    const additional = schema["additionalProperties"];
    for (const [name, entry] of Object.entries(value)) {
      const property = properties[name] ?? (isFields(additional) ? additional : undefined);
      const own = path === "" && METADATA.includes(name);
      if (isFields(property) && !own) errors.push(...validateCustom(entry, property, at(name)));
    }
  }
  return errors;
}

function hasType(value: unknown, schema: Fields): boolean {
  if (schema["x-kubernetes-int-or-string"] === true) return typeof value === "string" || Number.isInteger(value);
  switch (schema["type"]) {
    case "object":
      return isFields(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "string":
    case "number":
    case "boolean":
      return typeof value === schema["type"];
    default:
      return true;
  }
}

function wrongType(field: string, value: unknown, schema: Fields): FieldError {
  const is = Array.isArray(value)
    ? "array"
    : Number.isInteger(value)
      ? "integer"
      : value === "null"
        ? "null"
        : typeof value;
  const wanted = String(schema["type"] ?? "integer,string");
  return {
    reason: "FieldValueTypeInvalid",
    field,
    message: `Invalid value: ${JSON.stringify(is)}: ${field} in body must be of type ${wanted}: ${JSON.stringify(is)}`,
  };
}

function limits(value: unknown, schema: Fields, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const wrong = (text: string): void => void errors.push(invalidValue(field, value, `${field} in body ${text}`));
  const number = (name: string): number | undefined =>
    typeof schema[name] === "number" ? (schema[name] as number) : undefined;
  const check = (limit: string, size: number, fails: (size: number, limit: number) => boolean, text: string): void => {
    const bound = number(limit);
    if (bound !== undefined && fails(size, bound)) wrong(text.replace("%", String(bound)));
  };
  const below = (size: number, bound: number): boolean => size < bound;
  const above = (size: number, bound: number): boolean => size > bound;
  if (typeof value === "string") {
    check("minLength", value.length, below, "should be at least % chars long");
    check("maxLength", value.length, above, "should be at most % chars long");
    const pattern = schema["pattern"];
    if (typeof pattern === "string" && !new RegExp(pattern, "u").test(value)) wrong(`should match '${pattern}'`);
  } else if (typeof value === "number") {
    check("minimum", value, below, "should be greater than or equal to %");
    check("maximum", value, above, "should be less than or equal to %");
  } else if (Array.isArray(value)) {
    check("minItems", value.length, below, "should have at least % items");
    check("maxItems", value.length, above, "should have at most % items");
  } else if (isFields(value)) {
    check("minProperties", Object.keys(value).length, below, "should have at least % properties");
    check("maxProperties", Object.keys(value).length, above, "should have at most % properties");
  }
  const allowed = schema["enum"];
  if (Array.isArray(allowed) && !allowed.some((entry) => same(entry, value))) {
    errors.push(unsupported(field, value, allowed as string[]));
  }
  return errors;
}

function combinations(value: unknown, schema: Fields, path: string): FieldError[] {
  const shown = path === "" ? "<nil>" : path;
  const alternatives = (name: string): Fields[] => (Array.isArray(schema[name]) ? (schema[name] as Fields[]) : []);
  const fitting = (list: readonly Fields[]): number =>
    list.filter((entry) => validateCustom(value, entry, path).length === 0).length;
  const errors = alternatives("allOf").flatMap((entry) => validateCustom(value, entry, path));
  const any = alternatives("anyOf");
  const one = alternatives("oneOf");
  if (any.length > 0 && fitting(any) === 0) {
    errors.push(invalidValue(shown, "", `"${shown}" must validate at least one schema (anyOf)`));
  }
  if (one.length > 0 && fitting(one) !== 1) {
    errors.push(invalidValue(shown, "", `"${shown}" must validate one and only one schema (oneOf)`));
  }
  if (isFields(schema["not"]) && fitting([schema["not"]]) > 0) {
    errors.push(invalidValue(shown, "", `"${shown}" must not validate the schema (not)`));
  }
  return errors;
}
