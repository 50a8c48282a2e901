/** Certificate signing requests (PKCS #10, RFC 2986) with one DNS name, as Linkerd's identity wants them (reference 5.4). */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import {
  bitString,
  bytesOf,
  type Der,
  decode,
  encode,
  integer,
  octetString,
  oid,
  oidOf,
  partsOf,
  sequence,
  set,
  tagged,
  taggedBytes,
  tagOf,
  utf8String,
} from "./der.ts";
import { ECDSA_SHA256, isP256, publicKeyDer, publicKeyOf, signSha256 } from "./keys.ts";

const COMMON_NAME = "2.5.4.3";
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
const SUBJECT_ALT_NAME = "2.5.29.17";
/** GeneralName choice dNSName. */
const DNS_NAME = 2;
const BIT_STRING = 3;
const SEQUENCE = 16;

export interface SigningRequest {
  readonly commonName: string | undefined;
  readonly dnsNames: readonly string[];
  /** Whether the request also asks for names of another kind (URI, e-mail, IP). */
  readonly otherNames: boolean;
  /** ECDSA P-256. */
  readonly publicKey: KeyObject;
}

/** A request that is malformed, badly signed, or of another key type; the message says which. */
export class SigningRequestError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SigningRequestError";
  }
}

/** DER of a request for `identity`: CN and exactly one DNS SAN. */
export function createSigningRequest(identity: string, privateKey: KeyObject): Buffer {
  const names = encode(sequence(taggedBytes(DNS_NAME, Buffer.from(identity, "ascii"))));
  const attributes = tagged(
    0,
    sequence(oid(EXTENSION_REQUEST), set(sequence(sequence(oid(SUBJECT_ALT_NAME), octetString(names))))),
  );
  const body = sequence(
    integer(Uint8Array.of(0)),
    sequence(set(sequence(oid(COMMON_NAME), utf8String(identity)))),
    decode(publicKeyDer(publicKeyOf(privateKey))),
    attributes,
  );
  const signature = signSha256(privateKey, encode(body));
  return encode(sequence(body, sequence(oid(ECDSA_SHA256)), bitString(signature)));
}

/**
 * Reads a request and checks its own signature (proof that the sender holds the key).
 * @throws SigningRequestError
 */
export function parseSigningRequest(der: Uint8Array): SigningRequest {
  const [body, algorithm, signature] = sequenceParts(readDer(der)) ?? [];
  const fields = partsOf(body);
  const signatureBits = tagOf(signature) === BIT_STRING ? bytesOf(signature) : undefined;
  if (body === undefined || fields === undefined || fields.length < 3 || signatureBits?.[0] !== 0) {
    throw new SigningRequestError("the request does not have the shape of PKCS #10");
  }
  if (oidOf(sequenceParts(algorithm)?.[0]) !== ECDSA_SHA256) {
    throw new SigningRequestError("the request is not signed with ECDSA and SHA-256");
  }
  const publicKey = readPublicKey(fields[2]);
  if (!verify("sha256", encode(body), { key: publicKey, dsaEncoding: "der" }, signatureBits.subarray(1))) {
    throw new SigningRequestError("the request's signature does not match its key");
  }
  return { commonName: readCommonName(fields[1]), ...readNames(fields[3]), publicKey };
}

/** The signature is checked over the body as encoded again, so only the one canonical encoding may pass. */
function readDer(bytes: Uint8Array): Der {
  let value: Der;
  try {
    value = decode(bytes);
  } catch (cause) {
    throw new SigningRequestError("the request is not valid DER", { cause });
  }
  if (!encode(value).equals(bytes)) throw new SigningRequestError("the request is not valid DER");
  return value;
}

function sequenceParts(value: Der | undefined): Der[] | undefined {
  return tagOf(value) === SEQUENCE ? partsOf(value) : undefined;
}

function readPublicKey(value: Der | undefined): KeyObject {
  let key: KeyObject;
  try {
    if (value === undefined) throw new Error("absent");
    key = createPublicKey({ key: encode(value), format: "der", type: "spki" });
  } catch (cause) {
    throw new SigningRequestError("the request's public key cannot be read", { cause });
  }
  if (!isP256(key)) throw new SigningRequestError("the request's key is not ECDSA P-256");
  return key;
}

function readCommonName(subject: Der | undefined): string | undefined {
  for (const relative of partsOf(subject) ?? []) {
    for (const attribute of partsOf(relative) ?? []) {
      const [type, value] = partsOf(attribute) ?? [];
      if (oidOf(type) === COMMON_NAME) return bytesOf(value)?.toString("utf8");
    }
  }
  return undefined;
}

function readNames(attributes: Der | undefined): { dnsNames: string[]; otherNames: boolean } {
  const dnsNames: string[] = [];
  let otherNames = false;
  for (const attribute of partsOf(attributes) ?? []) {
    const [type, values] = partsOf(attribute) ?? [];
    if (oidOf(type) !== EXTENSION_REQUEST) continue;
    for (const extension of partsOf(partsOf(values)?.[0]) ?? []) {
      const parts = partsOf(extension) ?? [];
      if (oidOf(parts[0]) !== SUBJECT_ALT_NAME) continue;
      for (const name of generalNames(parts.at(-1))) {
        if (tagOf(name) === DNS_NAME) dnsNames.push(bytesOf(name)?.toString("ascii") ?? "");
        else otherNames = true;
      }
    }
  }
  return { dnsNames, otherNames };
}

function generalNames(value: Der | undefined): Der[] {
  const bytes = bytesOf(value);
  if (bytes === undefined) return [];
  try {
    return partsOf(decode(bytes)) ?? [];
  } catch (cause) {
    throw new SigningRequestError("the request's subject alternative names cannot be read", { cause });
  }
}
