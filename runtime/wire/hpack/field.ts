/**
 * A header field as HPACK carries it. Names and values are octets, one a character (Latin-1): what was received is sent on
 * unchanged. Fields of dynamic tables are interned (`intern.ts`), so that one decoded on one connection is found in the
 * table of another by identity, without comparing strings.
 */

/** How a field is represented (RFC 7541, 6.2), by us and by whoever sends it on. */
export const INDEXED = 0;
/** Not worth an entry of the dynamic table. */
export const LITERAL = 1;
/** Nobody on the way may put it into a table: secrets of low entropy (7.1.3). */
export const NEVER_INDEXED = 2;
export type Indexing = typeof INDEXED | typeof LITERAL | typeof NEVER_INDEXED;

/** What an entry of a table costs beyond its octets (RFC 7541, 4.1); also of a field in SETTINGS_MAX_HEADER_LIST_SIZE. */
export const FIELD_OVERHEAD = 32;

let made = 0;

export class HeaderField {
  /** Of this object: where it is looked for by identity. */
  readonly id: number;
  readonly name: string;
  readonly value: string;
  /** Octets of name and value, and 32. */
  readonly size: number;
  readonly indexing: Indexing;
  /** Index in the static table, or 0. */
  readonly staticIndex: number;
  /** What HTTP/2's rules say of it (`http2/message-rules.ts`), found once: 0 while nobody has asked. */
  verdict = 0;
  /** What it is to whoever passes messages on (`proxy/http2/field-kinds.ts`), found once: 0 while nobody has asked. */
  kind = 0;

  constructor(name: string, value: string, indexing: Indexing = INDEXED, staticIndex = 0) {
    made = (made + 1) & 0x3fffffff;
    this.id = made;
    this.name = name;
    this.value = value;
    this.size = name.length + value.length + FIELD_OVERHEAD;
    this.indexing = indexing;
    this.staticIndex = staticIndex;
  }
}

/** A field that takes no entry of a dynamic table: its value will hardly come again. */
export function literalField(name: string, value: string): HeaderField {
  return new HeaderField(name, value, LITERAL);
}

/** A secret: never compressed by anybody who sends it on. */
export function secretField(name: string, value: string): HeaderField {
  return new HeaderField(name, value, NEVER_INDEXED);
}
