import { X509Certificate } from "node:crypto";

/** RFC 7468: base64 in lines of 64. */
export function derToPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** A bundle that holds no certificate, or something that is none. */
export class CertificateBundleError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CertificateBundleError";
  }
}

/**
 * All certificates of a PEM bundle, in order.
 * @throws CertificateBundleError where there is none or one does not parse
 */
export function certificatesFromPem(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new CertificateBundleError("no certificate in PEM form found");
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new CertificateBundleError(`certificate ${index + 1} of ${blocks.length} does not parse`, { cause });
    }
  });
}
