/** Leaves for workloads: 24 hours, one DNS name (reference 5.4). */
import type { KeyObject, X509Certificate } from "node:crypto";
import { issueLeaf } from "../../x509/certificate.ts";
import { CLOCK_SKEW_MS, type Issuer } from "../pki/authorities.ts";

export const LEAF_LIFE_MS = 86_400_000;

/** Never outlives the issuer's chain. 0.5 ms. */
export function issue(issuer: Issuer, identity: string, publicKey: KeyObject, now: Date): X509Certificate {
  return issueLeaf(issuer.authority, {
    publicKey,
    // A common name holds 64 characters; the name that counts is the DNS name.
    ...(identity.length <= 64 ? { commonName: identity } : {}),
    dnsNames: [identity],
    notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
    notAfter: new Date(Math.min(now.getTime() + LEAF_LIFE_MS + CLOCK_SKEW_MS, issuer.notAfter.getTime())),
  });
}
