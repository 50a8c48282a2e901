/** Checks chains of certificates against trust anchors, with node:crypto only. */
import type { X509Certificate } from "node:crypto";

/** Why a chain is not to be trusted. */
export class CertificateChainError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CertificateChainError";
  }
}

/**
 * Verifies that `leaf` leads to one of `anchors` through `intermediates`, every link being within its validity at `now`.
 * @returns the chain from the leaf to the anchor
 * @throws CertificateChainError
 */
export function verifyChain(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  now: Date = new Date(),
): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let current = leaf;
  // A chain is never longer than all there is: this also ends on loops.
  for (let depth = 0; depth <= intermediates.length + 1; depth++) {
    checkValidity(current, now);
    chain.push(current);
    const anchor = anchors.find((candidate) => signs(candidate, current));
    if (anchor !== undefined) {
      checkValidity(anchor, now);
      if (anchor.fingerprint256 !== current.fingerprint256) chain.push(anchor);
      return chain;
    }
    const next = intermediates.find(
      (candidate) => !chain.includes(candidate) && candidate.ca && signs(candidate, current),
    );
    if (next === undefined) break;
    current = next;
  }
  throw new CertificateChainError(
    `no trust anchor signed "${describe(current)}" (issuer "${oneLine(current.issuer)}")`,
  );
}

function signs(issuer: X509Certificate, subject: X509Certificate): boolean {
  return subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function checkValidity(certificate: X509Certificate, now: Date): void {
  if (now < certificate.validFromDate) {
    throw new CertificateChainError(
      `"${describe(certificate)}" is not valid before ${certificate.validFromDate.toISOString()}`,
    );
  }
  if (now > certificate.validToDate) {
    throw new CertificateChainError(`"${describe(certificate)}" expired at ${certificate.validToDate.toISOString()}`);
  }
}

function describe(certificate: X509Certificate): string {
  return oneLine(certificate.subject ?? certificate.subjectAltName ?? certificate.serialNumber);
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

/** DNS names of a certificate, in the order of its extension: the first one is a proxy's identity. */
export function dnsNames(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? "")
    .split(", ")
    .filter((name) => name.startsWith("DNS:"))
    .map((name) => name.slice("DNS:".length));
}
