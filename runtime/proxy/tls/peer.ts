/** Who is at the other end of TLS, and whether that may be believed. */
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

/** node:tls fills `authorized` only in its own servers; the verification's result is on the handle. Where it cannot be had, nobody is let in. */
export function verificationError(tls: TLSSocket): string | undefined {
  const handle = (tls as unknown as { _handle?: { verifyError?: () => Error | null } })._handle;
  if (typeof handle?.verifyError !== "function") return "this Node does not say whether it is valid";
  return handle.verifyError()?.message;
}
