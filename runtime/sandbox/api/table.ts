/** meta.k8s.io/v1 Table: how `kubectl get` asks for lists. */
import type { Column, Kind } from "./kind.ts";
import { age, column } from "./kinds/columns.ts";
import type { StoredObject } from "./object.ts";

const nameColumn: Column = { ...column("Name", (object) => object.metadata.name), format: "name" };
const ageColumn = column("Age", (object) => age(object.metadata.creationTimestamp));

function columnsOf(kind: Kind): readonly Column[] {
  return [nameColumn, ...(kind.columns.length === 0 ? [ageColumn] : kind.columns)];
}

/** @param headers false for every event of a watch but the first */
export function table(
  kind: Kind,
  objects: readonly StoredObject[],
  listMeta: Record<string, unknown>,
  include: string,
  headers = true,
): Record<string, unknown> {
  const columns = columnsOf(kind);
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: listMeta,
    columnDefinitions: headers
      ? columns.map(({ name, type, format = "", priority = 0 }) => ({
          name,
          type,
          format,
          description: name,
          priority,
        }))
      : null,
    rows: objects.map((object) => ({
      cells: columns.map((entry) => entry.value(object)),
      ...(include === "None" ? {} : { object: include === "Object" ? object : partial(object) }),
    })),
  };
}

/** meta.k8s.io/v1 PartialObjectMetadata */
export function partial(object: StoredObject): Record<string, unknown> {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}

export type Representation = "object" | "table" | "metadata";

/** What the Accept header asks lists and objects to look like. */
export function representation(accept: string | undefined): Representation {
  for (const part of (accept ?? "").split(",")) {
    if (/;\s*as=Table/.test(part)) return "table";
    if (/;\s*as=PartialObjectMetadata/.test(part)) return "metadata";
    if (/^\s*application\/json\s*(;|$)/.test(part)) return "object";
  }
  return "object";
}

export function partialList(objects: readonly StoredObject[], listMeta: unknown): Record<string, unknown> {
  return {
    kind: "PartialObjectMetadataList",
    apiVersion: "meta.k8s.io/v1",
    metadata: listMeta,
    items: objects.map(partial),
  };
}
