/** Which header fields make a message malformed (RFC 9113, 8.1 to 8.3). What a field says is found once and kept with it. */
import type { HeaderField } from "../hpack/field.ts";

/** Verdicts: what a field may be part of. Those of pseudo-fields of requests are one bit each. */
const REGULAR = 1;
const MALFORMED = 2;
const PSEUDO = 4;
const METHOD = 8;
const SCHEME = 16;
const PATH = 32;
const AUTHORITY = 64;
const IN_REQUESTS = METHOD | SCHEME | PATH | AUTHORITY;
/** A method that needs no path, and a path that needs a method. */
const CONNECT = 128;
const OPTIONS = 256;
const ASTERISK = 512;
const HOST = 1_024;
const LENGTH = 2_048;
/** `:status` says a number, which is beside the bits. */
const STATUS = 4_096;
const STATUS_FACTOR = 8_192;

/** Belong to HTTP/1's connections (8.2.2). */
const CONNECTION_SPECIFIC = new Set(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"]);
const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** No control characters that end lines, nothing blank at either end (8.2.1). */
const VALUE = /^(?![ \t])[^\0\r\n]*(?<![ \t])$/;

/**
 * What a request's pseudo-fields may say, so that none of them could be two words of a request line, or another's target
 * (8.3.1, 10.3; RFC 9110, 9.1; RFC 3986, 3.1): userinfo is not allowed, an empty authority is.
 */
const PSEUDO_VALUES: ReadonlyMap<string, RegExp> = new Map([
  [":method", /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/],
  [":scheme", /^[A-Za-z][A-Za-z0-9+\-.]*$/],
  [":path", /^(?:\/[!-~\x80-\xff]*|\*)$/],
  [":authority", /^[^\0- \x7f@/?#\\]*$/],
]);

const PSEUDO_BITS: ReadonlyMap<string, number> = new Map([
  [":method", METHOD],
  [":scheme", SCHEME],
  [":path", PATH],
  [":authority", AUTHORITY],
]);

function verdictOf(field: HeaderField): number {
  if (field.verdict === 0) field.verdict = judge(field);
  return field.verdict;
}

function judge({ name, value }: HeaderField): number {
  if (!NAME.test(name) || !VALUE.test(value) || CONNECTION_SPECIFIC.has(name)) return MALFORMED;
  if (name === "te" && value !== "trailers") return MALFORMED;
  if (name === "host") return REGULAR | HOST;
  if (name === "content-length") return REGULAR | LENGTH;
  if (!name.startsWith(":")) return REGULAR;
  if (name === ":status")
    return /^[1-9][0-9][0-9]$/.test(value) ? PSEUDO | STATUS | (Number(value) * STATUS_FACTOR) : MALFORMED;
  if (PSEUDO_VALUES.get(name)?.test(value) === false) return MALFORMED;
  const bits = PSEUDO | (PSEUDO_BITS.get(name) ?? 0);
  if (name === ":method") return bits | (value === "CONNECT" ? CONNECT : value === "OPTIONS" ? OPTIONS : 0);
  return name === ":path" && value === "*" ? bits | ASTERISK : bits;
}

/** @returns the status of a response's fields, 0 where they are malformed: one `:status`, before all others, and no other pseudo-field (8.3.2) */
export function responseStatus(fields: readonly HeaderField[]): number {
  const [first] = fields;
  if (first === undefined || (verdictOf(first) & STATUS) === 0) return 0;
  for (let index = 1; index < fields.length; index++) if ((verdictOf(fields[index]!) & REGULAR) === 0) return 0;
  return Math.floor(first.verdict / STATUS_FACTOR);
}

/** Whether fields may be trailers: none of them is a pseudo-field (8.1). */
export function areTrailers(fields: readonly HeaderField[]): boolean {
  for (const field of fields) if ((verdictOf(field) & REGULAR) === 0) return false;
  return true;
}

/** @returns the length that fields announce, -1 for none, -2 where they contradict each other or are no number (8.1.1) */
export function announcedLength(fields: readonly HeaderField[]): number {
  let length = -1;
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index]!;
    if ((verdictOf(field) & LENGTH) === 0) continue;
    if (field !== lastLength) {
      lastLength = field;
      lastBytes = /^[0-9]{1,15}$/.test(field.value) ? Number(field.value) : -2;
    }
    if (lastBytes === -2 || (length !== -1 && length !== lastBytes)) return -2;
    length = lastBytes;
  }
  return length;
}

/** The field that was read last, which often is the next one too, and what it says. */
let lastLength: HeaderField | undefined;
let lastBytes = -1;

/**
 * Whether fields may be a request's head: pseudo-fields of requests, each once and before all others (8.3, 8.3.1, 8.5), and no Host
 * that says another thing than `:authority`, or two (8.3.1).
 */
export function areRequest(fields: readonly HeaderField[]): boolean {
  let seen = 0;
  for (let index = 0; index < fields.length; index++) {
    const verdict = verdictOf(fields[index]!);
    if ((verdict & MALFORMED) !== 0) return false;
    if ((verdict & PSEUDO) === 0) {
      if ((verdict & seen & HOST) !== 0) return false;
    } else if ((verdict & IN_REQUESTS) === 0 || (seen & REGULAR) !== 0 || (verdict & seen & IN_REQUESTS) !== 0)
      return false;
    seen |= verdict;
  }
  if ((seen & HOST) !== 0 && (seen & AUTHORITY) !== 0 && !isHostAuthority(fields)) return false;
  if ((seen & CONNECT) !== 0) return (seen & (SCHEME | PATH)) === 0 && authorityOf(fields) !== "";
  if ((seen & ASTERISK) !== 0 && (seen & OPTIONS) === 0) return false;
  return (seen & (METHOD | SCHEME | PATH)) === (METHOD | SCHEME | PATH);
}

function authorityOf(fields: readonly HeaderField[]): string {
  return fields.find(({ name }) => name === ":authority")?.value ?? "";
}

function isHostAuthority(fields: readonly HeaderField[]): boolean {
  const host = fields.find(({ name }) => name === "host")?.value ?? "";
  return host.toLowerCase() === authorityOf(fields).toLowerCase();
}
