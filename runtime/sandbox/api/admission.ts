/** The chain every write passes before it is stored. Plugins are `admission/*.ts`. */
import type { User } from "./access.ts";
import type { Kind } from "./kind.ts";
import type { Fields, StoredObject } from "./object.ts";

export interface AdmissionRequest {
  readonly user: User;
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly subresource: string;
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  readonly dryRun: boolean;
  readonly options: Fields;
  /** What is to be stored; mutating plugins write into it or replace it. Undefined for DELETE. */
  object: StoredObject | undefined;
  readonly oldObject: StoredObject | undefined;
  /** For the answer's Warning headers. */
  readonly warnings: string[];
}

/** Throws StatusError to refuse. */
export interface AdmissionPlugin {
  mutate?(request: AdmissionRequest): Promise<void> | void;
  validate?(request: AdmissionRequest): Promise<void> | void;
}
