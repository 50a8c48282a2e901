/** TLS contexts as DESIGN decision 7 wants them: TLS 1.3, P-256 leaves, no resumption of any kind. */
import { constants } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";

const COMMON: SecureContextOptions = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
  ecdhCurve: "X25519MLKEM768:X25519:P-256:P-384",
  // No stateless tickets. What OpenSSL sends in their place refers to a cache that node:tls does not keep.
  secureOptions: constants.SSL_OP_NO_TICKET,
};

/** For clients that have no certificate yet. */
export function anchorsContext(anchorsPem: string): SecureContext {
  return createSecureContext({ ...COMMON, ca: anchorsPem });
}

export function leafContext(keyPem: string, chainPem: string, anchorsPem: string): SecureContext {
  return createSecureContext({ ...COMMON, key: keyPem, cert: chainPem, ca: anchorsPem });
}
