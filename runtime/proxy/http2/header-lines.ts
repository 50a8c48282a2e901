/**
 * Lines of an HTTP/1 head as fields of HTTP/2. A line that was seen before is the field that was made of it then, found by its
 * bytes: no string is made. What is seen a second time is worth an entry of dynamic tables; values that come once never enter one.
 */
import { HeaderField, LITERAL, NEVER_INDEXED } from "../../wire/hpack/field.ts";
import { internField } from "../../wire/hpack/intern.ts";
import { COLON, LF, SPACE, TOKEN, VALUE } from "../http1/lexemes.ts";

/** Powers of two: how many lines, and names, are remembered. */
const FIELD_SLOTS = 1_024;
const NAME_SLOTS = 256;
/** Longer values are made anew each time: what is remembered stays below 256 KiB. */
const MAX_KEPT_BYTES = 256;
const TAB = 9;

/** Seldom the same twice, or not for long. */
const LITERALS = new Set([
  "age",
  "content-length",
  "content-range",
  "date",
  "etag",
  "expires",
  "if-modified-since",
  "if-none-match",
  "last-modified",
  "range",
  "retry-after",
  "traceparent",
  "x-request-id",
]);
const SECRETS = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);

const fields = new Array<HeaderField | undefined>(FIELD_SLOTS);
const names = new Array<string | undefined>(NAME_SLOTS);

/** The field `name`, whose value is `bytes[start, end)`. */
export function fieldOf(name: string, bytes: Buffer, start: number, end: number): HeaderField {
  const length = end - start;
  if (length > MAX_KEPT_BYTES) return newField(name, bytes.toString("latin1", start, end));
  let hash = name.length + name.charCodeAt(1);
  for (let index = start; index < end; index++) hash = Math.imul(hash ^ bytes[index]!, 16_777_619);
  const slot = (hash ^ (hash >>> 15)) & (FIELD_SLOTS - 1);
  const known = fields[slot];
  if (known === undefined || known.name !== name || !same(known.value, bytes, start, end)) {
    const field = newField(name, bytes.toString("latin1", start, end));
    fields[slot] = field;
    return field;
  }
  if (known.indexing !== LITERAL || LITERALS.has(name)) return known;
  const field = internField(name, known.value);
  fields[slot] = field;
  return field;
}

function newField(name: string, value: string): HeaderField {
  return new HeaderField(name, value, SECRETS.has(name) ? NEVER_INDEXED : LITERAL);
}

function same(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) !== bytes[start + index]) return false;
  return true;
}

/** The name at `bytes[start, end)`, in lower case. */
function nameOf(bytes: Buffer, start: number, end: number): string {
  let hash = end - start;
  for (let index = start; index < end; index++) hash = Math.imul(hash ^ lower(bytes[index]!), 16_777_619);
  const slot = (hash ^ (hash >>> 15)) & (NAME_SLOTS - 1);
  const known = names[slot];
  if (known !== undefined && sameName(known, bytes, start, end)) return known;
  const name = bytes.toString("latin1", start, end).toLowerCase();
  names[slot] = name;
  return name;
}

function sameName(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== lower(bytes[start + index]!)) return false;
  }
  return true;
}

function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte | 32 : byte;
}

/** Goes over the lines of one head, or of trailers, after another. */
export class HeaderLines {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  name = "";
  /** The value is `bytes[valueStart, valueEnd)`, without blanks around it. */
  valueStart = 0;
  valueEnd = 0;

  /** `bytes[start, end)`: lines with their CRLF, without the empty one. */
  begin(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** @returns whether there is another line. One that is none of a field, as trailers may have it, is passed over */
  next(): boolean {
    while (this.#at < this.#end) if (this.#take()) return true;
    return false;
  }

  #take(): boolean {
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    while (TOKEN[bytes[at]!] === 1) at++;
    const nameEnd = at;
    const isField = nameEnd > start && bytes[at] === COLON;
    if (isField) at++;
    while (VALUE[bytes[at]!] === 1) at++;
    let valueEnd = at;
    // Just past its LF.
    const lf = bytes[at + 1] === LF ? at + 1 : bytes.indexOf(LF, at);
    this.#at = lf < 0 ? this.#end : lf + 1;
    if (!isField || lf !== at + 1) return false;
    let valueStart = nameEnd + 1;
    while (valueStart < valueEnd && isBlank(bytes[valueStart]!)) valueStart++;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1]!)) valueEnd--;
    this.name = nameOf(bytes, start, nameEnd);
    this.valueStart = valueStart;
    this.valueEnd = valueEnd;
    return true;
  }

  get field(): HeaderField {
    return fieldOf(this.name, this.#bytes, this.valueStart, this.valueEnd);
  }

  get value(): string {
    return this.#bytes.toString("latin1", this.valueStart, this.valueEnd);
  }
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
