/**
 * Parses the head of an HTTP/1 message where it lies (RFC 9112): no header map, no strings; what the proxy needs is left as
 * numbers and offsets in one {@link Head} that is used again for each message. What is to be forwarded is kept as byte
 * ranges, with the hop-by-hop headers (RFC 9110, 7.6.1) and headers of the mesh's own cut out.
 *
 * Strict where leniency smuggles requests: CRLF only, no folded lines, no space before a colon, one Content-Length,
 * `chunked` as the only transfer coding and never beside Content-Length.
 */

import { type Head, keep, MAX_HEAD_BYTES } from "./head.ts";
import {
  COLON,
  CR,
  containsIgnoringCase,
  equalsIgnoringCase,
  LF,
  LOWER,
  parseLength,
  startsWithIgnoringCase,
  TOKEN,
  trim,
  VALUE,
} from "./lexemes.ts";
import { NO_LENGTH, parseRequestLine, parseStatusLine } from "./start-line.ts";

/** More bytes are needed. */
export const INCOMPLETE = 0;
export const COMPLETE = 1;
/** Not HTTP, or HTTP that nobody should forward: 400. */
export const MALFORMED = 2;
/** A head over {@link MAX_HEAD_BYTES}: 431. */
export const TOO_LARGE = 3;
export type ParseResult = typeof INCOMPLETE | typeof COMPLETE | typeof MALFORMED | typeof TOO_LARGE;

/** Headers that are looked at; everything else is forwarded unseen. Keyed by length, then compared. */
const OTHER = 0;
const CONNECTION = 1;
const CONTENT_LENGTH = 2;
const TRANSFER_ENCODING = 3;
const HOST = 4;
const EXPECT = 5;
const UPGRADE = 6;
const CUT = 7;
const NOT_DELIVERED = 8;
const PROXY_CONNECTION_CLOSE = 9;
const CONTENT_TYPE = 10;
const TE = 11;
const REQUIRE_ID = 12;

const KNOWN: readonly (readonly [name: string, id: number])[] = [
  ["connection", CONNECTION],
  ["content-length", CONTENT_LENGTH],
  ["transfer-encoding", TRANSFER_ENCODING],
  ["host", HOST],
  ["expect", EXPECT],
  ["upgrade", UPGRADE],
  ["keep-alive", CUT],
  ["proxy-connection", CUT],
  ["te", TE],
  ["content-type", CONTENT_TYPE],
  // Only proxies may say these (reference 5.8); from anybody else they are lies.
  ["l5d-client-id", CUT],
  ["l5d-proxy-error", CUT],
  ["l5d-require-id", REQUIRE_ID],
  ["l5d-proxy-connection", PROXY_CONNECTION_CLOSE],
  ["weft-not-delivered", NOT_DELIVERED],
];

interface KnownHeader {
  readonly bytes: Uint8Array;
  readonly id: number;
}

/** First letters of known headers, lower case: most headers are told apart by one look. */
const BY_FIRST: readonly (readonly KnownHeader[] | undefined)[] = Array.from({ length: 128 }, (_, code) => {
  const letter = String.fromCharCode(code).toLowerCase();
  const headers = KNOWN.filter(([name]) => name[0] === letter).map(([name, id]) => ({ bytes: Buffer.from(name), id }));
  return headers.length === 0 ? undefined : headers;
});

/**
 * Parses a request's head in `bytes[start, end)`.
 * @returns COMPLETE with `head` filled, INCOMPLETE when the head goes on, else what is wrong
 */
export function parseRequestHead(bytes: Buffer, start: number, end: number, head: Head): ParseResult {
  head.reset();
  const lineEnd = findLineEnd(bytes, start, end);
  if (lineEnd < 0) return unfinished(start, end, lineEnd);
  if (!parseRequestLine(bytes, start, lineEnd, head)) return MALFORMED;
  const result = parseFields(bytes, start, lineEnd + 2, end, head);
  if (result !== COMPLETE) return result;
  if (head.minorVersion === 1 && !head.hasHost) return MALFORMED;
  if (head.method === "CONNECT") head.bodyKind = "tunnel";
  return COMPLETE;
}

/** Parses a response's head. @param requestMethod decides whether there is a body */
export function parseResponseHead(
  bytes: Buffer,
  start: number,
  end: number,
  requestMethod: string,
  head: Head,
): ParseResult {
  head.reset();
  const lineEnd = findLineEnd(bytes, start, end);
  if (lineEnd < 0) return unfinished(start, end, lineEnd);
  if (!parseStatusLine(bytes, start, lineEnd, head)) return MALFORMED;
  const result = parseFields(bytes, start, lineEnd + 2, end, head);
  if (result !== COMPLETE) return result;
  const { status } = head;
  if (status === 101 || (requestMethod === "CONNECT" && status >= 200 && status < 300)) head.bodyKind = "tunnel";
  else if (status < 200 || status === 204 || status === 304 || requestMethod === "HEAD") head.bodyKind = "none";
  else if (head.bodyKind === "none" && head.contentLength === NO_LENGTH) head.bodyKind = "close";
  if (head.contentLength === NO_LENGTH) head.contentLength = 0;
  if (head.bodyKind === "close") head.close = true;
  return COMPLETE;
}

function unfinished(start: number, end: number, lineEnd: number): ParseResult {
  if (lineEnd === BARE_LF) return MALFORMED;
  return end - start >= MAX_HEAD_BYTES ? TOO_LARGE : INCOMPLETE;
}

const NOT_FOUND = -1;
const BARE_LF = -2;

/** Offset of the CR of the first CRLF. A lone LF, or a CR before anything else, is refused. */
function findLineEnd(bytes: Buffer, start: number, end: number): number {
  const lf = bytes.indexOf(LF, start);
  if (lf < 0 || lf >= end) return NOT_FOUND;
  return lf > start && bytes[lf - 1] === CR ? lf - 1 : BARE_LF;
}

function parseFields(bytes: Buffer, start: number, from: number, end: number, head: Head): ParseResult {
  let lengthSeen = false;
  let chunked = false;
  let upgradeHeader = false;
  let nominated = false;
  let keepFrom = start;
  let at = from;
  for (;;) {
    if (at + 1 >= end) {
      // Whoever waits after a bare LF would wait for ever.
      if (at < end && bytes[at] !== CR && TOKEN[bytes[at] as number] === 0) return MALFORMED;
      return end - start >= MAX_HEAD_BYTES ? TOO_LARGE : INCOMPLETE;
    }
    if (bytes[at] === CR) {
      if (bytes[at + 1] !== LF) return MALFORMED;
      if (!keep(head, keepFrom, at)) return TOO_LARGE;
      at += 2;
      break;
    }
    // The name, by the table of token characters: a folded line or a space before the colon ends here.
    const nameStart = at;
    while (at < end && TOKEN[bytes[at] as number] === 1) at++;
    if (at >= end) return end - start >= MAX_HEAD_BYTES ? TOO_LARGE : INCOMPLETE;
    if (bytes[at] !== COLON || at === nameStart) return MALFORMED;
    const nameEnd = at;
    at++;
    while (at < end && VALUE[bytes[at] as number] === 1) at++;
    if (at + 1 >= end) {
      if (at < end && bytes[at] !== CR) return MALFORMED;
      return end - start >= MAX_HEAD_BYTES ? TOO_LARGE : INCOMPLETE;
    }
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return MALFORMED;
    const valueEnd = at;
    at += 2;
    const candidates = BY_FIRST[(bytes[nameStart] as number) & 127];
    const id = candidates === undefined ? OTHER : identify(bytes, nameStart, nameEnd, candidates);
    if (id === OTHER) continue;
    const [valueFrom, valueTo] = trim(bytes, nameEnd + 1, valueEnd);
    let cut = false;
    switch (id) {
      case CONNECTION: {
        cut = true;
        nominated = parseConnection(bytes, valueFrom, valueTo, head) || nominated;
        break;
      }
      case CONTENT_LENGTH: {
        const length = parseLength(bytes, valueFrom, valueTo);
        if (length < 0 || lengthSeen) return MALFORMED;
        lengthSeen = true;
        head.contentLength = length;
        break;
      }
      case TRANSFER_ENCODING: {
        if (chunked || !equalsIgnoringCase(bytes, valueFrom, valueTo, "chunked")) return MALFORMED;
        chunked = true;
        break;
      }
      case HOST: {
        if (head.hasHost) return MALFORMED;
        head.hasHost = true;
        head.hostStart = valueFrom;
        head.hostEnd = valueTo;
        break;
      }
      case EXPECT:
        head.expectContinue = equalsIgnoringCase(bytes, valueFrom, valueTo, "100-continue");
        break;
      case UPGRADE:
        // HTTP/2 by upgrade (obsolete since RFC 9113) would carry requests past the policy of routes: it is not offered on.
        cut = containsIgnoringCase(bytes, valueFrom, valueTo, "h2c");
        upgradeHeader ||= !cut;
        break;
      case CONTENT_TYPE:
        head.grpc = startsWithIgnoringCase(bytes, valueFrom, valueTo, "application/grpc");
        break;
      case TE:
        cut = !equalsIgnoringCase(bytes, valueFrom, valueTo, "trailers");
        break;
      case REQUIRE_ID:
        head.directed = true;
        break;
      case NOT_DELIVERED:
        head.notDelivered = true;
        cut = true;
        break;
      case PROXY_CONNECTION_CLOSE:
        head.proxyConnectionClose = true;
        cut = true;
        break;
      default:
        cut = true;
    }
    if (cut) {
      if (!keep(head, keepFrom, nameStart)) return TOO_LARGE;
      keepFrom = at;
    }
  }
  head.end = at;
  if (chunked && (lengthSeen || head.minorVersion === 0)) return MALFORMED;
  if (chunked) head.bodyKind = "chunked";
  else if (lengthSeen && head.contentLength > 0) head.bodyKind = "length";
  head.upgrade &&= upgradeHeader;
  if (head.end - start > MAX_HEAD_BYTES) return TOO_LARGE;
  if (nominated && !cutNominated(bytes, start, head)) return TOO_LARGE;
  return COMPLETE;
}

function identify(bytes: Buffer, start: number, end: number, candidates: readonly KnownHeader[]): number {
  for (const { bytes: name, id } of candidates) {
    if (name.length !== end - start) continue;
    let index = 0;
    while (index < name.length && ((bytes[start + index] as number) | LOWER) === name[index]) index++;
    if (index === name.length) return id;
  }
  return OTHER;
}

/** @returns whether the field nominates headers other than the usual ones, which then are hop-by-hop too */
function parseConnection(bytes: Buffer, start: number, end: number, head: Head): boolean {
  if (equalsIgnoringCase(bytes, start, end, "keep-alive")) {
    head.close = false;
    return false;
  }
  if (equalsIgnoringCase(bytes, start, end, "close")) {
    head.close = true;
    return false;
  }
  let nominated = false;
  for (const option of bytes.toString("latin1", start, end).toLowerCase().split(",")) {
    const name = option.trim();
    if (name === "close") head.close = true;
    else if (name === "upgrade") head.upgrade = true;
    else if (name !== "keep-alive" && name !== "") nominated = true;
  }
  return nominated;
}

/** What a message must keep whatever its Connection header says. */
const NEVER_CUT = new Set(["host", "content-length", "transfer-encoding", "upgrade", "te"]);

/** The rare case: a Connection header that names other headers. Cuts them out in a second pass. */
function cutNominated(bytes: Buffer, start: number, head: Head): boolean {
  const lines: [from: number, to: number, name: string][] = [];
  const names = new Set<string>();
  let at = bytes.indexOf("\r\n", start) + 2;
  while (at < head.end - 2) {
    const lineEnd = bytes.indexOf("\r\n", at);
    const colon = bytes.indexOf(COLON, at);
    const name = bytes.toString("latin1", at, colon).toLowerCase();
    lines.push([at, lineEnd + 2, name]);
    if (name === "connection") {
      for (const option of bytes
        .toString("latin1", colon + 1, lineEnd)
        .toLowerCase()
        .split(","))
        names.add(option.trim());
    }
    at = lineEnd + 2;
  }
  const kept: [number, number][] = [];
  for (let index = 0; index < head.rangeCount; index++) {
    let from = head.ranges[index * 2] as number;
    const to = head.ranges[index * 2 + 1] as number;
    for (const [lineFrom, lineTo, name] of lines) {
      if (lineFrom < from || lineTo > to || !names.has(name) || NEVER_CUT.has(name)) continue;
      if (from < lineFrom) kept.push([from, lineFrom]);
      from = lineTo;
    }
    if (from < to) kept.push([from, to]);
  }
  head.rangeCount = 0;
  return kept.every(([from, to]) => keep(head, from, to));
}
