import type { PeerCertificate, TLSSocket } from "node:tls";

/**
 * DNS and URI names of the peer's leaf, in its order; undefined: it showed none. Not by getPeerX509Certificate, which in Node 24 keeps
 * the certificate's native part for ever: 5 KiB a handshake.
 */
export function peerNames(tls: TLSSocket): string[] | undefined {
  const { raw, subjectaltname = "" } = (tls.getPeerCertificate() ?? {}) as Partial<PeerCertificate>;
  if (raw === undefined) return undefined;
  return [...subjectaltname.matchAll(/(?:^|, )(?:DNS|URI):([^,]+)/g)].map((match) => match[1] as string);
}
