import type { SecureContext } from "node:tls";

/**
 * The proxy's own certificate, as the TLS sides use it. The private key stays inside. A renewal or a new trust bundle
 * makes new contexts; connections made with the old ones are drained within the old leaf's life.
 */
export interface LocalIdentity {
  /** e.g. `web.shop.serviceaccount.identity.weft.cluster.local`; also the SNI that the inbound side terminates. */
  readonly name: string;
  /** Resolves when the first leaf is there. */
  readonly ready: Promise<void>;
  /** TLS 1.3 only, this leaf and chain, trust anchors as CA; undefined while there is none or it has expired (fail closed). */
  context(): SecureContext | undefined;
  /** RFC 3339 times of the leaf in use. */
  readonly validity: { readonly notBefore: Date; readonly notAfter: Date } | undefined;
  onChange(listener: () => void): () => void;
}
