/** Fields of HTTP/2 as heads of HTTP/1, of messages that were HTTP/1 before (reference 5.7). */
import { STATUS_CODES } from "node:http";
import type { HeaderField } from "../../wire/hpack/field.ts";
import { ListMemo } from "../../wire/hpack/memo.ts";
import { Head } from "../http1/head.ts";
import { COMPLETE, parseResponseHead } from "../http1/parse-head.ts";
import { isAbsoluteForm, isOldVersion } from "./orig-proto.ts";

/** What a request's fields come to. */
export interface RequestText {
  readonly method: string;
  /** The head, its empty line included. */
  readonly bytes: Buffer;
  /** The body is to be sent in chunks: nothing says its length. */
  readonly chunked: boolean;
}

/** The head of a response. */
export interface ResponseText {
  /** Its empty line included. */
  readonly bytes: Buffer;
  /** As it is parsed, where that is remembered. */
  readonly head: Head | undefined;
}

/** Heads that are remembered, of each kind. */
const MEMO_SLOTS = 64;
const FRAMED = 1;
const OF_HEAD = 2;

const requests = new ListMemo<RequestText>(MEMO_SLOTS);
const responses = new ListMemo<ResponseText>(MEMO_SLOTS);

/** @param bodiless the request is its head alone */
export function requestText(fields: readonly HeaderField[], bodiless: boolean): RequestText {
  const known = requests.find(fields, bodiless ? 1 : 0);
  if (known !== undefined) return known;
  const text = writeRequest(fields, bodiless);
  if (requests.worth) requests.put(fields, text);
  return text;
}

function writeRequest(fields: readonly HeaderField[], bodiless: boolean): RequestText {
  let method = "";
  let scheme = "http";
  let authority: string | undefined;
  let path = "";
  let proto = "";
  let host: string | undefined;
  let lengthKnown = bodiless;
  for (const { name, value } of fields) {
    switch (name) {
      case ":method":
        method = value;
        break;
      case ":scheme":
        scheme = value;
        break;
      case ":authority":
        authority = value;
        break;
      case ":path":
        path = value;
        break;
      case "host":
        host ??= value;
        break;
      case "content-length":
        lengthKnown = true;
        break;
      case "l5d-orig-proto":
        proto = value;
    }
  }
  const absolute = isAbsoluteForm(proto) && authority !== undefined;
  const chunked = !lengthKnown;
  // Chunks are HTTP/1.1's.
  const version = isOldVersion(proto) && !chunked ? "HTTP/1.0" : "HTTP/1.1";
  // Where both say it, and they differ, the authority is what was decided by (RFC 9113, 8.3.1).
  const keepsHost = host !== undefined && (absolute || authority === undefined || host === authority);
  let target = path;
  if (method === "CONNECT") target = authority ?? "";
  else if (absolute) target = `${scheme}://${authority}${path === "*" ? "" : path}`;
  let text = `${method} ${target} ${version}\r\n`;
  // HTTP/1.0 need not say it beside an absolute target; HTTP/1.1 must, in any case (RFC 9112, 3.2).
  const old = version === "HTTP/1.0" && host === undefined && (absolute || authority === undefined);
  if (!keepsHost && !old) text += `host: ${authority ?? ""}\r\n`;
  let hostSaid = !keepsHost;
  for (const { name, value } of fields) {
    if (name.charCodeAt(0) === COLON || name === "l5d-orig-proto") continue;
    if (name === "host") {
      if (hostSaid) continue;
      hostSaid = true;
    }
    text += `${name}: ${value}\r\n`;
  }
  text += chunked ? "transfer-encoding: chunked\r\n\r\n" : "\r\n";
  return { method, bytes: Buffer.from(text, "latin1"), chunked };
}

const COLON = 58;

/**
 * The head of a response, interim or final.
 * @param method of the request. @param framed its end is known by its head. A body that is framed anew is not HTTP/1.0's, whatever
 *   the server spoke
 */
export function responseText(fields: readonly HeaderField[], method: string, framed: boolean): ResponseText {
  const known = responses.find(fields, (framed ? FRAMED : 0) | (method === "HEAD" ? OF_HEAD : 0));
  if (known !== undefined) return known;
  const bytes = writeResponse(fields, framed);
  if (!responses.worth) return { bytes, head: undefined };
  const head = new Head();
  const text = { bytes, head: parseResponseText(bytes, method, head) ? head : undefined };
  responses.put(fields, text);
  return text;
}

/** @returns whether `bytes` are a head that HTTP/1 can say; `head` is it then, its body's end known to whoever carries it */
export function parseResponseText(bytes: Buffer, method: string, head: Head): boolean {
  if (parseResponseHead(bytes, 0, bytes.length, method, head) !== COMPLETE) return false;
  if (head.bodyKind === "close") head.unframed = true;
  return true;
}

function writeResponse(fields: readonly HeaderField[], framed: boolean): Buffer {
  let text = "";
  let version = "HTTP/1.1";
  for (const { name, value } of fields) {
    if (name === "l5d-orig-proto") {
      if (framed && isOldVersion(value)) version = "HTTP/1.0";
    } else if (name !== ":status") text += `${name}: ${value}\r\n`;
  }
  const status = fields[0]?.value ?? "";
  return Buffer.from(`${version} ${status} ${STATUS_CODES[status] ?? ""}\r\n${text}\r\n`, "latin1");
}

/** Lines of trailers, each with its CRLF. What would change the message is dropped (RFC 9110, 6.5.1). */
export function trailerText(fields: readonly HeaderField[]): string {
  let text = "";
  for (const { name, value } of fields) {
    if (name !== "content-length" && name !== "host" && name !== "trailer") text += `${name}: ${value}\r\n`;
  }
  return text;
}
