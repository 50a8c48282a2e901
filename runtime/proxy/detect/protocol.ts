/** Tells HTTP/1, HTTP/2 and everything else apart by a connection's first bytes (reference 9.6). */

export type Protocol = "http1" | "http2" | "opaque";

const PREFACE = Buffer.from("PRI * HTTP/2.0");
const VERSION = Buffer.from("HTTP/1.");
const METHOD_BYTES = 32;
/** A line that is still good so far is HTTP's, whatever its end: its server tells its client that it is too long. */
const LINE_BYTES = 8_192;
const SPACE = 32;

/**
 * What `bytes[start, end)`, all that a connection has said so far, begin. `undecided` only while they are the beginning of both a line
 * of HTTP's and of something else: what is decided stays so whatever follows, so that it does not matter how a network cuts them.
 * Linkerd looks at one read, and takes less than fourteen bytes for opaque; here such a client is waited for, at most until the
 * detection's time-out.
 */
export function detectProtocol(bytes: Buffer, start: number, end: number): Protocol | "undecided" {
  const seen = Math.min(end - start, PREFACE.length);
  if (bytes.compare(PREFACE, 0, seen, start, start + seen) === 0) return seen < PREFACE.length ? "undecided" : "http2";
  return readRequestLine(bytes, start, end);
}

/** A method, a target and a version, separated by single spaces (RFC 9112, 3). */
function readRequestLine(bytes: Buffer, start: number, end: number): Protocol | "undecided" {
  const limit = Math.min(end, start + LINE_BYTES);
  const unfinished = limit - start === LINE_BYTES ? "http1" : "undecided";
  let at = start;
  while (at < limit && isOfMethod(bytes[at] as number)) at++;
  if (at - start > METHOD_BYTES) return "opaque";
  if (at === limit) return unfinished;
  if (at === start || bytes[at] !== SPACE) return "opaque";
  const targetStart = ++at;
  while (at < limit && isOfTarget(bytes[at] as number)) at++;
  if (at === limit) return unfinished;
  if (at === targetStart || bytes[at] !== SPACE) return "opaque";
  at++;
  const seen = Math.min(limit - at, VERSION.length);
  if (bytes.compare(VERSION, 0, seen, at, at + seen) !== 0) return "opaque";
  if (at + VERSION.length >= limit) return unfinished;
  const minor = bytes[at + VERSION.length];
  return minor === 48 || minor === 49 ? "http1" : "opaque";
}

/** As the registered ones are: capital letters and `-`. */
function isOfMethod(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || byte === 45;
}

function isOfTarget(byte: number): boolean {
  return byte > SPACE && byte !== 127;
}
