/** Certificates of a mesh made for one test. */
import { certificatePem, createCertificateAuthority, issueLeaf } from "../../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../../runtime/x509/keys.ts";

/** PEM texts, and the name in the leaf. */
export interface Credentials {
  readonly name: string;
  readonly key: string;
  readonly certificate: string;
  readonly anchors: string;
}

/** An authority, and leaves of it by name. */
export function makeMesh(): (name: string) => Credentials {
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 86_400_000) };
  const authority = createCertificateAuthority({ commonName: "root.linkerd.cluster.local", ...validity });
  const anchors = certificatePem(authority.certificate);
  return (name) => {
    const keys = generateKeyPair();
    const leaf = issueLeaf(authority, { publicKey: keys.publicKey, dnsNames: [name], ...validity });
    return { name, key: privateKeyPem(keys.privateKey), certificate: certificatePem(leaf), anchors };
  };
}
