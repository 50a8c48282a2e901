/** DER values on node-forge's ASN.1: only the forms that X.509 and PKCS #10 need here (RFC 5280, RFC 2986). */
import asn1 from "node-forge/lib/asn1.js";

type Node = ReturnType<typeof asn1.create>;
/** One DER value. */
export type Der = Node;

const { Class, Type } = asn1;
const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");

export const sequence = (...parts: Der[]): Der => asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
export const set = (...parts: Der[]): Der => asn1.create(Class.UNIVERSAL, Type.SET, true, parts);
export const oid = (dotted: string): Der =>
  asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(dotted).getBytes());
export const boolean = (value: boolean): Der =>
  asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, value ? "\xff" : "\0");
export const utf8String = (text: string): Der =>
  asn1.create(Class.UNIVERSAL, Type.UTF8, false, latin1(Buffer.from(text, "utf8")));
export const octetString = (bytes: Uint8Array): Der =>
  asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, latin1(bytes));
/** All bits used. */
export const bitString = (bytes: Uint8Array): Der =>
  asn1.create(Class.UNIVERSAL, Type.BITSTRING, false, `\0${latin1(bytes)}`);
/** `bytes` big-endian, without sign; a leading zero is added where the first bit would make it negative. */
export const integer = (bytes: Uint8Array): Der =>
  asn1.create(Class.UNIVERSAL, Type.INTEGER, false, ((bytes[0] ?? 0) & 0x80 ? "\0" : "") + latin1(bytes));
/** `[tag]` around values (EXPLICIT, or IMPLICIT of a constructed type). */
export const tagged = (tag: number, ...parts: Der[]): Der =>
  asn1.create(Class.CONTEXT_SPECIFIC, tag as never, true, parts);
/** `[tag] IMPLICIT` of a primitive type. */
export const taggedBytes = (tag: number, bytes: Uint8Array): Der =>
  asn1.create(Class.CONTEXT_SPECIFIC, tag as never, false, latin1(bytes));

/** UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
export function time(date: Date): Der {
  return date.getUTCFullYear() < 2050
    ? asn1.create(Class.UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(date) as unknown as string)
    : asn1.create(Class.UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date) as unknown as string);
}

export function encode(value: Der): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), "latin1");
}

/** @throws Error where `bytes` are not exactly one DER value */
export function decode(bytes: Uint8Array): Der {
  return asn1.fromDer(latin1(bytes), { strict: true, parseAllBytes: true, decodeBitStrings: false } as never);
}

/** A constructed value's parts; undefined for a primitive. */
export function partsOf(value: Der | undefined): Der[] | undefined {
  return value !== undefined && Array.isArray(value.value) ? (value.value as Der[]) : undefined;
}

/** A primitive value's bytes; undefined for a constructed one. */
export function bytesOf(value: Der | undefined): Buffer | undefined {
  return value !== undefined && typeof value.value === "string" ? Buffer.from(value.value, "latin1") : undefined;
}

/** The dotted form of an OBJECT IDENTIFIER; undefined for anything else. */
export function oidOf(value: Der | undefined): string | undefined {
  const bytes = bytesOf(value);
  return bytes !== undefined && value?.type === Type.OID ? asn1.derToOid(bytes.toString("latin1")) : undefined;
}

export const tagOf = (value: Der | undefined): number | undefined => value?.type;
