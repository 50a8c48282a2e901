/** A trust anchor and an issuer of a test's own. */
import {
  type CertificateAuthority,
  certificatePem,
  createCertificateAuthority,
} from "../../../../runtime/x509/certificate.ts";

export interface TestAuthority {
  readonly anchor: CertificateAuthority;
  readonly issuer: CertificateAuthority;
  readonly anchorsPem: string;
}

const DAY_MS = 86_400_000;

export function createTestAuthority(name = "test"): TestAuthority {
  const lasting = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 10 * DAY_MS) };
  const anchor = createCertificateAuthority({ commonName: `root.${name}`, ...lasting });
  const issuer = createCertificateAuthority({
    commonName: `identity.${name}`,
    issuer: anchor,
    pathLength: 0,
    ...lasting,
  });
  return { anchor, issuer, anchorsPem: certificatePem(anchor.certificate) };
}
