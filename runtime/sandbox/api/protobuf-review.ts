/**
 * The one body that kubectl sends in protobuf whatever the server would rather have: the SelfSubjectAccessReview of
 * `kubectl auth can-i`. Field numbers: k8s.io/apimachinery runtime/generated.proto, k8s.io/api authorization/v1/generated.proto.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Fields } from "./object.ts";
import { badRequest, unsupportedMediaType } from "./status.ts";

const MAGIC = Buffer.from("k8s\0");
const RESOURCE_ATTRIBUTES = ["", "namespace", "verb", "group", "version", "resource", "subresource", "name"];
const NON_RESOURCE_ATTRIBUTES = ["", "path", "verb"];

/** @throws StatusError 415 for any other kind, 400 for bytes that are no message */
export function decodeReview(bytes: Buffer): Fields {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw badRequest("the body is no protobuf of Kubernetes");
  try {
    const envelope = messageFields(bytes.subarray(MAGIC.length));
    const type = messageFields(envelope.get(1));
    const apiVersion = text(type.get(1));
    const kind = text(type.get(2));
    if (kind !== "SelfSubjectAccessReview" || apiVersion !== "authorization.k8s.io/v1") {
      throw unsupportedMediaType(
        `the sandbox reads ${kind} as application/json or application/yaml only, not as protobuf`,
      );
    }
    const spec = messageFields(messageFields(envelope.get(2)).get(2));
    return {
      apiVersion,
      kind,
      spec: {
        ...(spec.has(1) ? { resourceAttributes: named(spec.get(1), RESOURCE_ATTRIBUTES) } : {}),
        ...(spec.has(2) ? { nonResourceAttributes: named(spec.get(2), NON_RESOURCE_ATTRIBUTES) } : {}),
      },
    };
  } catch (error) {
    if (error instanceof RangeError) throw badRequest(`the body is no protobuf message: ${error.message}`);
    throw error;
  }
}

/** Length-delimited fields of a message by number; others are passed over. */
function messageFields(bytes: Uint8Array | undefined): Map<number, Uint8Array> {
  const fields = new Map<number, Uint8Array>();
  if (bytes === undefined) return fields;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType === WireType.LengthDelimited) fields.set(number, reader.bytes());
    else reader.skip(wireType, number);
  }
  return fields;
}

function named(bytes: Uint8Array | undefined, names: readonly string[]): Fields {
  const result: Fields = {};
  for (const [number, value] of messageFields(bytes)) {
    const name = names[number];
    if (name !== undefined && value.length > 0) result[name] = text(value);
  }
  return result;
}

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("utf8");
}
