/**
 * Heads of HTTP/1 as fields of HTTP/2 (reference 5.7). Order and duplicates stay; the case of names, and reason phrases, are lost.
 * The head was parsed before, and what belongs to one connection cut out of it (`../http1/parse-head.ts`).
 */
import type { HeaderField } from "../../wire/hpack/field.ts";
import { internField } from "../../wire/hpack/intern.ts";
import { BytesMemo } from "../../wire/hpack/memo.ts";
import type { Head } from "../http1/head.ts";
import { LF, SLASH, SPACE } from "../http1/lexemes.ts";
import { fieldOf, HeaderLines } from "./header-lines.ts";
import { origProto } from "./orig-proto.ts";

const ASTERISK = 42;
const ROOT = internField(":path", "/");
const WHOLE_SERVER = internField(":path", "*");
const TRAILERS_TAKEN = internField("te", "trailers");
const schemes = new Map(["http", "https"].map((scheme) => [scheme, internField(":scheme", scheme)]));
const HTTP = internField(":scheme", "http");
/** By status, as they come. */
const statuses: (HeaderField | undefined)[] = [];

/** What cannot be said of a message on HTTP/2 (RFC 9113, 8.2.2), or is ours to say. */
const NOT_CARRIED = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "l5d-orig-proto",
]);
/** Nor may these stand in trailers, where they would change what the message was taken for (RFC 9110, 6.5.1). */
const NOT_IN_TRAILERS = new Set([...NOT_CARRIED, "content-length", "host", "te", "trailer"]);
/** What `:authority` may be (RFC 9113, 8.3.1). */
const AUTHORITY = /^[^\0- \x7f@/?#\\]+$/;

/** Heads that are remembered, of each kind. */
const MEMO_SLOTS = 128;
const MEMO_BYTES = 1_024;

const lines = new HeaderLines();
const requests = new BytesMemo<readonly HeaderField[]>(MEMO_SLOTS, MEMO_BYTES);
const responses = new BytesMemo<readonly HeaderField[]>(MEMO_SLOTS, MEMO_BYTES);

/** Of the request whose head is `bytes[start, end)`. @param head of it; its offsets are of elsewhere */
export function requestFields(bytes: Buffer, start: number, end: number, head: Head): readonly HeaderField[] {
  const known = requests.find(bytes, start, end);
  if (known !== undefined) return known;
  const fields = readRequest(bytes, start, end, head);
  if (requests.worth) requests.put(bytes, start, end, fields);
  return fields;
}

function readRequest(bytes: Buffer, start: number, end: number, head: Head): HeaderField[] {
  const { method, minorVersion } = head;
  const targetStart = start + method.length + 1;
  const targetEnd = bytes.indexOf(SPACE, targetStart);
  const fields: HeaderField[] = [internField(":method", method), HTTP];
  const absolute = bytes[targetStart] !== SLASH && bytes[targetStart] !== ASTERISK;
  let authority = "";
  if (absolute) authority = absoluteTarget(method, bytes.toString("latin1", targetStart, targetEnd), fields);
  else fields.push(fieldOf(":path", bytes, targetStart, targetEnd));
  lines.begin(bytes, bytes.indexOf(LF, targetEnd) + 1, end - 2);
  while (lines.next()) {
    const { name } = lines;
    if (name === "te") fields.push(TRAILERS_TAKEN);
    else if (name !== "host") {
      if (!NOT_CARRIED.has(name)) fields.push(lines.field);
    } else if (absolute && authority !== "") {
      // The target's authority is what counts, and replaces another (RFC 9112, 3.2.2).
      fields.push(internField("host", authority));
    } else {
      // Said twice: Linkerd's proxy makes no Host of an authority, and its place is told.
      addAuthority(fields, bytes);
      fields.push(lines.field);
    }
  }
  fields.push(origProto(minorVersion, absolute));
  return fields;
}

/** Adds Host as `:authority`, where it can be one. */
function addAuthority(fields: HeaderField[], bytes: Buffer): void {
  const authority = fieldOf(":authority", bytes, lines.valueStart, lines.valueEnd);
  // After the other pseudo-fields.
  if (AUTHORITY.test(authority.value)) fields.splice(3, 0, authority);
}

/** Adds the pseudo-fields of a target in absolute form (RFC 9112, 3.2.2). Userinfo has no place there (RFC 9113, 8.3.1). */
function absoluteTarget(method: string, target: string, fields: HeaderField[]): string {
  const schemeEnd = target.indexOf("://");
  const scheme = target.slice(0, schemeEnd).toLowerCase();
  fields[1] = schemes.get(scheme) ?? internField(":scheme", scheme);
  const rest = target.slice(schemeEnd + 3);
  const found = rest.search(/[/?#]/);
  const authorityEnd = found < 0 ? rest.length : found;
  const authority = rest.slice(rest.lastIndexOf("@", authorityEnd) + 1, authorityEnd);
  const path = rest.slice(authorityEnd);
  if (path === "") fields.push(method === "OPTIONS" ? WHOLE_SERVER : ROOT);
  else {
    const bytes = Buffer.from(path[0] === "/" ? path : `/${path}`, "latin1");
    fields.push(fieldOf(":path", bytes, 0, bytes.length));
  }
  if (authority !== "") fields.push(internField(":authority", authority));
  return authority;
}

/** Of the response, interim or final, whose head is `bytes[start, head.end)`. */
export function responseFields(bytes: Buffer, start: number, head: Head): readonly HeaderField[] {
  const known = responses.find(bytes, start, head.end);
  if (known !== undefined) return known;
  const fields = readResponse(bytes, start, head);
  if (responses.worth) responses.put(bytes, start, head.end, fields);
  return fields;
}

function readResponse(bytes: Buffer, start: number, head: Head): HeaderField[] {
  const { status } = head;
  statuses[status] ??= internField(":status", String(status));
  const fields: HeaderField[] = [statuses[status]];
  const linesStart = bytes.indexOf(LF, start) + 1;
  // Only what is to be forwarded: ranges begin and end with lines.
  for (let index = 0; index < head.rangeCount; index++) {
    const from = Math.max(linesStart, head.ranges[index * 2]!);
    const to = head.ranges[index * 2 + 1]!;
    if (from >= to) continue;
    lines.begin(bytes, from, to);
    while (lines.next()) if (!NOT_CARRIED.has(lines.name)) fields.push(lines.field);
  }
  if (head.status >= 200) fields.push(origProto(head.minorVersion, false));
  return fields;
}

/** Of trailers: `bytes[start, end)` are lines with their CRLF. Lines that HTTP/1 lets pass unread, and that are none, are dropped. */
export function trailerFields(bytes: Buffer, start: number, end: number): HeaderField[] {
  const fields: HeaderField[] = [];
  lines.begin(bytes, start, end);
  while (lines.next()) if (!NOT_IN_TRAILERS.has(lines.name)) fields.push(lines.field);
  return fields;
}
