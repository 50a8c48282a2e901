/** Issues certificates: trust anchors, issuers, leaves. node-forge's ASN.1, node:crypto's keys and signatures (RFC 5280). */
import { type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  bitString,
  boolean,
  type Der,
  decode,
  encode,
  integer,
  octetString,
  oid,
  sequence,
  set,
  tagged,
  taggedBytes,
  time,
  utf8String,
} from "./der.ts";
import { ECDSA_SHA256, generateKeyPair, keyIdentifier, publicKeyDer, signSha256 } from "./keys.ts";
import { derToPem } from "./pem.ts";

/** A certificate that may sign others, with its key. */
export interface CertificateAuthority {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface AuthorityOptions extends Validity {
  readonly commonName: string;
  /** Who signs; absent: self-signed. */
  readonly issuer?: CertificateAuthority;
  /** How many intermediates may follow; absent: no limit. */
  readonly pathLength?: number;
  readonly keys?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
}

export interface LeafOptions extends Validity {
  readonly publicKey: KeyObject;
  readonly commonName?: string;
  /** Subject's O: groups, in Kubernetes' client certificates. */
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** Default both. */
  readonly usages?: readonly ("serverAuth" | "clientAuth")[];
}

const OID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

const VERSION_3 = Uint8Array.of(2);
/** KeyUsage bits, most significant first, with the count of unused ones before them (RFC 5280, 4.2.1.3). */
const DIGITAL_SIGNATURE_KEY_ENCIPHERMENT = Uint8Array.of(5, 0b1010_0000);
const KEY_CERT_SIGN_CRL_SIGN = Uint8Array.of(1, 0b0000_0110);

/** A new authority. 0.7 ms. */
export function createCertificateAuthority(options: AuthorityOptions): CertificateAuthority {
  const keys = options.keys ?? generateKeyPair();
  const subject = name(options.commonName);
  const constraints = [boolean(true)];
  if (options.pathLength !== undefined) constraints.push(integer(Uint8Array.of(options.pathLength)));
  const der = signed({
    issuer: options.issuer === undefined ? subject : subjectOf(options.issuer.certificate),
    subject,
    validity: options,
    publicKey: keys.publicKey,
    signer: options.issuer?.privateKey ?? keys.privateKey,
    extensions: [
      extension(OID.basicConstraints, true, encode(sequence(...constraints))),
      extension(OID.keyUsage, true, keyUsage(KEY_CERT_SIGN_CRL_SIGN)),
      extension(OID.subjectKeyIdentifier, false, encode(octetString(keyIdentifier(keys.publicKey)))),
      authorityKeyIdentifier(options.issuer?.certificate.publicKey ?? keys.publicKey),
    ],
  });
  return { certificate: new X509Certificate(der), privateKey: keys.privateKey };
}

/** A leaf for somebody else's public key. 0.5 ms. */
export function issueLeaf(authority: CertificateAuthority, options: LeafOptions): X509Certificate {
  const usages = options.usages ?? ["serverAuth", "clientAuth"];
  const names = [
    ...(options.dnsNames ?? []).map((dns) => taggedBytes(2, Buffer.from(dns, "ascii"))),
    ...(options.ipAddresses ?? []).map((address) => taggedBytes(7, ipBytes(address))),
  ];
  const extensions = [
    extension(OID.keyUsage, true, keyUsage(DIGITAL_SIGNATURE_KEY_ENCIPHERMENT)),
    extension(OID.extendedKeyUsage, false, encode(sequence(...usages.map((usage) => oid(OID[usage]))))),
    extension(OID.basicConstraints, true, encode(sequence())),
    authorityKeyIdentifier(authority.certificate.publicKey),
  ];
  if (names.length > 0) {
    // The only name there is must be understood (RFC 5280, 4.2.1.6).
    const sole = options.commonName === undefined && (options.organizations ?? []).length === 0;
    extensions.push(extension(OID.subjectAltName, sole, encode(sequence(...names))));
  }
  return new X509Certificate(
    signed({
      issuer: subjectOf(authority.certificate),
      subject: name(options.commonName, options.organizations),
      validity: options,
      publicKey: options.publicKey,
      signer: authority.privateKey,
      extensions,
    }),
  );
}

/** PEM of one certificate. */
export function certificatePem(certificate: X509Certificate): string {
  return derToPem("CERTIFICATE", certificate.raw);
}

interface ToBeSigned {
  readonly issuer: Der;
  readonly subject: Der;
  readonly validity: Validity;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extensions: readonly Der[];
}

function signed(parts: ToBeSigned): Buffer {
  const algorithm = sequence(oid(ECDSA_SHA256));
  const serial = randomBytes(16);
  // The first bit stays 0 and the number positive and never 0 (RFC 5280, 4.1.2.2).
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    tagged(0, integer(VERSION_3)),
    integer(serial),
    algorithm,
    parts.issuer,
    sequence(time(parts.validity.notBefore), time(parts.validity.notAfter)),
    parts.subject,
    decode(publicKeyDer(parts.publicKey)),
    tagged(3, sequence(...parts.extensions)),
  );
  return encode(sequence(body, algorithm, bitString(signSha256(parts.signer, encode(body)))));
}

function name(commonName: string | undefined, organizations: readonly string[] = []): Der {
  const attribute = (type: string, value: string): Der => set(sequence(oid(type), utf8String(value)));
  const attributes = organizations.map((organization) => attribute(OID.organization, organization));
  if (commonName !== undefined) attributes.push(attribute(OID.commonName, commonName));
  return sequence(...attributes);
}

/** The subject of an existing certificate exactly as it is encoded there: chain building compares bytes. */
function subjectOf(certificate: X509Certificate): Der {
  const body = (decode(certificate.raw).value as Der[])[0];
  const fields = body?.value as Der[];
  // [0] version is absent in v1 certificates; the subject is the fifth field after it.
  const offset = fields[0]?.type === 0 && fields[0].tagClass === 0x80 ? 1 : 0;
  const subject = fields[offset + 4];
  if (subject === undefined) throw new Error("the issuer's certificate has no subject");
  return subject;
}

function extension(type: string, critical: boolean, value: Buffer): Der {
  return critical ? sequence(oid(type), boolean(true), octetString(value)) : sequence(oid(type), octetString(value));
}

function keyUsage(unusedAndBits: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(0x03, unusedAndBits.length), unusedAndBits]);
}

function authorityKeyIdentifier(key: KeyObject): Der {
  return extension(OID.authorityKeyIdentifier, false, encode(sequence(taggedBytes(0, keyIdentifier(key)))));
}

/** Network order: 4 or 16 bytes (RFC 5280, 4.2.1.6). */
function ipBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  if (isIP(address) !== 6) throw new Error(`"${address}" is no IP address`);
  const [head = "", tail] = address.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
