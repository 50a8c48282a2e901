/** `l5d-orig-proto` (reference 5.7): what a message was before a proxy of the mesh carried it over HTTP/2. */
import type { HeaderField } from "../../wire/hpack/field.ts";
import { internField } from "../../wire/hpack/intern.ts";

const NAME = "l5d-orig-proto";
const ABSOLUTE = "absolute-form";

const fields = ["HTTP/1.0", "HTTP/1.1"].map((version) => ({
  plain: internField(NAME, version),
  absolute: internField(NAME, `${version}; ${ABSOLUTE}`),
}));

/** @param minorVersion of HTTP/1. @param absolute the request's target was in absolute form */
export function origProto(minorVersion: number, absolute: boolean): HeaderField {
  const { plain, absolute: withForm } = fields[minorVersion === 0 ? 0 : 1]!;
  return absolute ? withForm : plain;
}

/** What `value` says; another version than HTTP/1.0 is taken for HTTP/1.1. */
export function isOldVersion(value: string): boolean {
  return value.startsWith("HTTP/1.0");
}

export function isAbsoluteForm(value: string): boolean {
  return value.includes(ABSOLUTE);
}
