/** From a CustomResourceDefinition to the kinds it makes served. */
import { applyDefaults, CUSTOM, customSchema, prune, validateCustom } from "./custom-schema.ts";
import type { Decoded } from "./decode.ts";
import { decode } from "./decode.ts";
import { type Column, defineKind, type Kind } from "./kind.ts";
import { age, column } from "./kinds/columns.ts";
import { copy, type Fields, fieldsAt, isFields, listAt, type StoredObject, stringAt } from "./object.ts";
import { modelSchema } from "./schema.ts";

export function isCustom(kind: Kind): boolean {
  return kind.schema.name.startsWith(CUSTOM);
}

/** One kind for every served version. */
export function customKinds(definition: StoredObject): Kind[] {
  const spec = fieldsAt(definition, "spec");
  const names = fieldsAt(spec, "names");
  const strings = (field: string): string[] => (Array.isArray(names[field]) ? (names[field] as string[]) : []);
  const group = String(spec["group"]);
  return listAt(spec, "versions")
    .filter((version) => version["served"] === true)
    .map((version) => {
      const schema = fieldsAt(version, "schema", "openAPIV3Schema");
      const kind = String(names["kind"]);
      const resource = {
        group,
        version: String(version["name"]),
        plural: String(names["plural"]),
        kind,
        namespaced: spec["scope"] === "Namespaced",
      };
      return {
        ...defineKind(resource, customSchema(kind, schema), {
          shortNames: strings("shortNames"),
          categories: strings("categories"),
          status: isFields(fieldsAt(version, "subresources")["status"]),
          generation: true,
          defaults: (object) => applyDefaults(object, schema),
          validate: (object) => validateCustom(object, schema),
          columns: columnsOf(version),
          decode: (body) => decodeCustom(body, schema, kind),
        }),
        singular: String(names["singular"] ?? kind.toLowerCase()),
      };
    });
}

/** Metadata is typed as everywhere; of the rest, unknown fields go and wrong ones are left to validation. */
function decodeCustom(body: Fields, schema: Fields, kind: string): Decoded {
  const object = copy(body);
  const unknown = prune(object, schema);
  const metadata = decode(fieldsAt(body, "metadata"), modelSchema("V1ObjectMeta"), `${kind} cannot be handled`);
  object["metadata"] = metadata.object;
  return { object, unknown: [...unknown, ...metadata.unknown.map((text) => text.replace('"', '"metadata.'))] };
}

function columnsOf(version: Fields): Column[] {
  const columns = listAt(version, "additionalPrinterColumns").map((entry): Column => {
    const path = (stringAt(entry, "jsonPath") ?? "").split(".").slice(1);
    const isDate = entry["type"] === "date";
    return column(String(entry["name"]), (object) => {
      let value: unknown = object;
      for (const name of path) value = isFields(value) ? value[name] : undefined;
      if (value === undefined || isFields(value)) return "";
      return isDate ? age(String(value)) : String(value);
    });
  });
  return columns.length === 0 ? [] : columns;
}
