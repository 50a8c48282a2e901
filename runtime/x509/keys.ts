import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** OID of ecdsa-with-SHA256 (RFC 5758). */
export const ECDSA_SHA256 = "1.2.840.10045.4.3.2";

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** ECDSA P-256: the only kind that Linkerd's proxies accept in leaves (reference 5.5). 0.2 ms. */
export function generateKeyPair(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "prime256v1" });
}

export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
}

/** PKCS #8 PEM, for node:tls and for the Secrets of CAs. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

export function privateKeyFromPem(pem: string): KeyObject {
  return createPrivateKey(pem);
}

export function publicKeyOf(privateKey: KeyObject): KeyObject {
  return createPublicKey(privateKey);
}

/** SubjectPublicKeyInfo, DER. */
export function publicKeyDer(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

/** SHA-1 of the public key's bits: the customary key identifier (RFC 5280, 4.2.1.2, method 1). Not a security property. */
export function keyIdentifier(key: KeyObject): Buffer {
  const spki = publicKeyDer(key);
  // An uncompressed P-256 point is the last 65 bytes of its SubjectPublicKeyInfo.
  return createHash("sha1").update(spki.subarray(-65)).digest();
}

/** ECDSA over SHA-256, DER-encoded as X.509 wants it. */
export function signSha256(privateKey: KeyObject, message: Uint8Array): Buffer {
  return sign("sha256", message, { key: privateKey, dsaEncoding: "der" });
}
