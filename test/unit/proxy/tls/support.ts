/** Identities for TLS tests. */
import { createSecureContext } from "node:tls";
import type { LocalIdentity } from "../../../../runtime/proxy/identity/local-identity.ts";
import { certificatePem, createCertificateAuthority, issueLeaf } from "../../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../../runtime/x509/keys.ts";

/** Makes identities whose leaves lead to one anchor. */
export function newTrust(): (name: string, options?: { expired?: boolean }) => LocalIdentity {
  const now = Date.now();
  const lasting = { notBefore: new Date(now - 86_400_000), notAfter: new Date(now + 86_400_000) };
  const authority = createCertificateAuthority({ commonName: "root", ...lasting });
  const anchors = certificatePem(authority.certificate);
  return (name, options = {}) => {
    const keys = generateKeyPair();
    const notAfter = options.expired ? new Date(now - 60_000) : lasting.notAfter;
    const leaf = issueLeaf(authority, { publicKey: keys.publicKey, dnsNames: [name], ...lasting, notAfter });
    const context = createSecureContext({
      key: privateKeyPem(keys.privateKey),
      cert: certificatePem(leaf),
      ca: anchors,
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
    });
    return {
      name,
      ready: Promise.resolve(),
      context: () => context,
      validity: undefined,
      onChange: () => () => undefined,
    };
  };
}
