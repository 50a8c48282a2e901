/** Which header values never leave the proxy (ARCHITECTURE.md, invariant 5). */

/** What is sent in place of a value; the name still shows that the header was there. */
export const REDACTED = "[redacted]";

const NAMES = new Set([
  "authorization",
  "proxy-authorization",
  "proxy-authenticate",
  "www-authenticate",
  "authentication-info",
  "cookie",
  "set-cookie",
  "x-api-key",
  "api-key",
  "apikey",
  "x-auth-token",
  "x-access-token",
  "x-csrf-token",
  "x-xsrf-token",
  "x-amz-security-token",
  "x-goog-iap-jwt-assertion",
  "x-forwarded-client-cert",
]);
/** Names that programs make up for the same things. */
const TELLING = /(?:^|[-_])(?:secret|password|passwd|token|api-?key|credentials?|session(?:-?id)?|signature)$/;

/** @param name in lower case */
export function isSensitive(name: string): boolean {
  return NAMES.has(name) || TELLING.test(name);
}
