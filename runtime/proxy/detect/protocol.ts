/** Tells HTTP/1, HTTP/2 and everything else apart by a connection's first bytes (reference 9.6). */

export type Protocol = "http1" | "http2" | "opaque";

const PREFACE = Buffer.from("PRI * HTTP/2.0");
const METHOD_BYTES = 32;

/**
 * What `bytes`, the first read of a connection, begin. Only one read is ever looked at: a client that sends less than
 * fourteen bytes of HTTP at first would be an odd one, and a protocol must not wait for bytes that may not come.
 */
export function detectProtocol(bytes: Buffer, start: number, end: number): Protocol {
  const length = end - start;
  if (length < PREFACE.length) return "opaque";
  if (bytes.compare(PREFACE, 0, PREFACE.length, start, start + PREFACE.length) === 0) return "http2";
  return isRequestLine(bytes, start, end) ? "http1" : "opaque";
}

/** A method, a target and, where the line ends within these bytes, a version. */
function isRequestLine(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && isUpperCase(bytes[at] as number)) at++;
  if (at === start || at - start > METHOD_BYTES || bytes[at] !== 32) return false;
  const targetStart = ++at;
  while (at < end && (bytes[at] as number) > 32 && bytes[at] !== 127) at++;
  if (at === end) return true;
  if (at === targetStart || bytes[at] !== 32) return false;
  const version = bytes.toString("latin1", at + 1, Math.min(end, at + 9));
  return "HTTP/1.1".startsWith(version) || "HTTP/1.0".startsWith(version);
}

function isUpperCase(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || byte === 45;
}
