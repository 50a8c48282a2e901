/** Makes the mesh's authorities and the control plane's serving certificates, and checks given ones. */
import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import { type IdentityScope, issuerIdentity } from "../../model/identity.ts";
import {
  type CertificateAuthority,
  certificatePem,
  createCertificateAuthority,
  issueLeaf,
} from "../../x509/certificate.ts";
import { verifyChain } from "../../x509/chain.ts";
import { generateKeyPair, isP256, privateKeyPem, publicKeyOf } from "../../x509/keys.ts";
import { certificatesFromPem } from "../../x509/pem.ts";
import { PkiError, type TlsMaterial } from "./tls-secret.ts";

const DAY_MS = 86_400_000;
/**
 * Ten years: nothing renews an anchor by itself (every proxy must know the new one first), so it must outlive the people
 * who would have to remember. Linkerd's command makes anchors of one year.
 */
export const TRUST_ANCHOR_LIFE_MS = 3650 * DAY_MS;
/** Renewed by the controller when a third of it is left. */
export const ISSUER_LIFE_MS = 365 * DAY_MS;
export const SERVING_LIFE_MS = 365 * DAY_MS;
/** Clocks of the cluster's machines may be apart (Linkerd's allowance). */
export const CLOCK_SKEW_MS = 20_000;

/** What signs the proxies' leaves. */
export interface Issuer {
  readonly authority: CertificateAuthority;
  /** Sent along with each leaf: the issuer's certificate and what is between it and the anchor, without the anchor. */
  readonly intermediates: readonly X509Certificate[];
  /** The trust anchor that the chain leads to. */
  readonly anchor: X509Certificate;
  /** The first end of the chain's certificates, the anchor's included. */
  readonly notAfter: Date;
}

export function createTrustAnchor(scope: IdentityScope, now: Date): TlsMaterial {
  return toMaterial(
    createCertificateAuthority({
      commonName: `root.${scope.controlPlaneNamespace}.${scope.trustDomain}`,
      ...validity(now, TRUST_ANCHOR_LIFE_MS),
    }),
  );
}

/** @throws PkiError where the anchor cannot be read */
export function createIssuer(scope: IdentityScope, anchor: TlsMaterial, now: Date): TlsMaterial {
  const authority = readAuthority("the trust anchor", anchor);
  const end = Math.min(now.getTime() + ISSUER_LIFE_MS, authority.certificate.validToDate.getTime());
  const issuer = createCertificateAuthority({
    commonName: issuerIdentity(scope),
    issuer: authority,
    pathLength: 0,
    notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
    notAfter: new Date(end),
  });
  return { ...toMaterial(issuer), ca: certificatePem(authority.certificate) };
}

/**
 * A serving certificate under an authority of its own whose key is thrown away: it vouches for nothing else.
 * `ca` also holds `previousCa` while that is valid: API servers that still know only the old one, or already only the
 * new one, both find what they trust.
 */
export function createServingCertificate(dnsNames: readonly string[], now: Date, previousCa?: string): TlsMaterial {
  const commonName = dnsNames[0] ?? "weft";
  const authority = createCertificateAuthority({ commonName: `${commonName} CA`, ...validity(now, SERVING_LIFE_MS) });
  const keys = generateKeyPair();
  const leaf = issueLeaf(authority, {
    publicKey: keys.publicKey,
    ...(commonName.length <= 64 ? { commonName } : {}),
    dnsNames,
    usages: ["serverAuth"],
    ...validity(now, SERVING_LIFE_MS),
  });
  const previous = previousCa === undefined ? [] : stillValid(certificatesFromPem(previousCa), now).slice(0, 1);
  return {
    certificate: certificatePem(leaf),
    privateKey: privateKeyPem(keys.privateKey),
    ca: [authority.certificate, ...previous].map(certificatePem).join(""),
  };
}

/** Is a third of its life or less left? */
export function isDue(certificate: X509Certificate, now: Date): boolean {
  const from = certificate.validFromDate.getTime();
  const to = certificate.validToDate.getTime();
  return now.getTime() > to - (to - from) / 3;
}

export function stillValid(certificates: readonly X509Certificate[], now: Date): X509Certificate[] {
  return certificates.filter((certificate) => certificate.validToDate > now);
}

/**
 * An issuer fit for use: its key is its own, it may sign, and it leads to one of `anchors`.
 * @param where names the Secret in messages
 * @throws PkiError
 */
export function readIssuer(
  where: string,
  material: TlsMaterial,
  anchors: readonly X509Certificate[],
  now: Date,
): Issuer {
  const authority = readAuthority(where, material);
  const [, ...further] = certificatesFromPem(material.certificate);
  let chain: X509Certificate[];
  try {
    chain = verifyChain(authority.certificate, further, anchors, now);
  } catch (cause) {
    throw new PkiError(`${where} does not lead to a trust anchor of the mesh`, { cause });
  }
  const end = Math.min(...chain.map((certificate) => certificate.validToDate.getTime()));
  const anchorPrints = new Set(anchors.map((anchor) => anchor.fingerprint256));
  return {
    authority,
    intermediates: chain.filter((certificate) => !anchorPrints.has(certificate.fingerprint256)),
    anchor: chain.at(-1) ?? authority.certificate,
    notAfter: new Date(end),
  };
}

/** @throws PkiError */
export function readAuthority(where: string, material: TlsMaterial): CertificateAuthority {
  let certificate: X509Certificate | undefined;
  let privateKey: KeyObject;
  try {
    certificate = certificatesFromPem(material.certificate)[0];
    privateKey = createPrivateKey(material.privateKey);
  } catch (cause) {
    throw new PkiError(`${where} holds a certificate or key that cannot be read`, { cause });
  }
  if (certificate === undefined) throw new PkiError(`${where} holds no certificate`);
  if (!certificate.ca) throw new PkiError(`the certificate of ${where} is no authority (CA:TRUE)`);
  if (!certificate.checkPrivateKey(privateKey)) throw new PkiError(`certificate and key of ${where} do not match`);
  if (!isP256(publicKeyOf(privateKey))) {
    throw new PkiError(`the key of ${where} must be ECDSA P-256, not ${privateKey.asymmetricKeyType}`);
  }
  return { certificate, privateKey };
}

function toMaterial(authority: CertificateAuthority): TlsMaterial {
  return { certificate: certificatePem(authority.certificate), privateKey: privateKeyPem(authority.privateKey) };
}

function validity(now: Date, lifeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now.getTime() - CLOCK_SKEW_MS), notAfter: new Date(now.getTime() + lifeMs) };
}
