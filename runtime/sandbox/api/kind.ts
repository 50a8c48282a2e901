/** What the generic store and its verbs need to know of a kind: a row of the table of resources. */
import type { Resource } from "../../kube/types.ts";
import type { Decoded } from "./decode.ts";
import type { Fields, StoredObject } from "./object.ts";
import type { StructSchema } from "./schema.ts";
import type { FieldError } from "./status.ts";

export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "boolean" | "date";
  /** 0 is shown always, 1 with `-o wide`. */
  readonly priority?: 0 | 1;
  readonly format?: "name";
  readonly value: (object: StoredObject) => string | number | boolean;
}

export interface Kind extends Resource {
  readonly schema: StructSchema;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Has `/status`, and `.status` is written only there. */
  readonly status: boolean;
  /** `metadata.generation` counts changes of everything but metadata and status. */
  readonly generation: boolean;
  /** Further subresources, for discovery: `token`, `log`. */
  readonly subresources: readonly Subresource[];
  readonly fieldSelectors: readonly string[];
  /** Nothing in the sandbox acts on such objects, so none can be made: list and watch answer, create says why. */
  readonly inert: boolean;
  /** Reads what a client sent; undefined: by {@link Kind.schema}. */
  readonly decode?: (body: Fields) => Decoded;
  /** Completes what the client left out. Must be idempotent. */
  readonly defaults: (object: StoredObject) => void;
  readonly validate: (object: StoredObject) => FieldError[];
  /** What may not change. */
  readonly validateUpdate: (object: StoredObject, old: StoredObject) => FieldError[];
  /** Between Name and Age. Undefined: only those two. */
  readonly columns: readonly Column[];
  /** Names follow RFC 1123 subdomains unless said otherwise. */
  readonly names: "subdomain" | "label" | "label1035" | "path";
}

export interface Subresource {
  readonly name: string;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
}

type Optional =
  | "shortNames"
  | "categories"
  | "status"
  | "generation"
  | "subresources"
  | "fieldSelectors"
  | "inert"
  | "decode"
  | "defaults"
  | "validate"
  | "validateUpdate"
  | "columns"
  | "names";

export type KindOptions = Partial<Pick<Kind, Optional>>;

export function defineKind(resource: Resource, schema: StructSchema, options: KindOptions = {}): Kind {
  return {
    ...resource,
    schema,
    singular: resource.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    status: false,
    generation: false,
    subresources: [],
    fieldSelectors: [],
    inert: false,
    defaults: () => {},
    validate: () => [],
    validateUpdate: () => [],
    columns: [],
    names: "subdomain",
    ...options,
  };
}
