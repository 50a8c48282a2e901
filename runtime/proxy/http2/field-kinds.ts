/** What fields of a head mean to a proxy that passes it on. Found once for each interned field, and kept with it. */
import type { HeaderField } from "../../wire/hpack/field.ts";

const ASKED = 1;
/** Not passed on: the mesh's own, which nobody else may say (reference 5.8). */
export const CUT = 2;
/** content-type: application/grpc… */
export const GRPC = 4;
export const GRPC_STATUS = 8;
/** A peer's proxy did not pass the request on. */
export const NOT_DELIVERED = 16;
/** The message was HTTP/1 before (reference 5.7). */
export const ORIG_PROTO = 32;
/** Says where the request may go: l5d-require-id. */
export const DIRECTED = 64;

const KINDS: ReadonlyMap<string, number> = new Map([
  ["l5d-client-id", CUT],
  ["l5d-proxy-error", CUT],
  ["l5d-proxy-connection", CUT],
  ["weft-not-delivered", CUT | NOT_DELIVERED],
  ["l5d-orig-proto", ORIG_PROTO],
  ["l5d-require-id", CUT | DIRECTED],
  ["grpc-status", GRPC_STATUS],
]);

export function kindOf(field: HeaderField): number {
  if (field.kind === 0) field.kind = ASKED | judge(field);
  return field.kind;
}

function judge({ name, value }: HeaderField): number {
  if (name === "content-type") return value.startsWith("application/grpc") ? GRPC : 0;
  return KINDS.get(name) ?? 0;
}

/** The kinds of all `fields` together. */
export function kindsOf(fields: readonly HeaderField[]): number {
  let kinds = 0;
  for (let index = 0; index < fields.length; index++) kinds |= kindOf(fields[index]!);
  return kinds;
}

/** @returns the number that grpc-status says; undefined where it is none. Call where {@link GRPC_STATUS} is among the kinds */
export function grpcStatusOf(fields: readonly HeaderField[]): number | undefined {
  const value = fields.find(({ name }) => name === "grpc-status")?.value ?? "";
  return /^[0-9]{1,3}$/.test(value) ? Number(value) : undefined;
}

/** Those that are passed on, a new list. @param cut kinds that are not */
export function without(fields: readonly HeaderField[], cut: number): HeaderField[] {
  return fields.filter((field) => (kindOf(field) & cut) === 0);
}
