/** Encodes header blocks (RFC 7541). Fields that were interned are found in the table by identity. */
import { DEFAULT_TABLE_BYTES, DynamicTable } from "./dynamic-table.ts";
import { type HeaderField, INDEXED, NEVER_INDEXED } from "./field.ts";
import { encodeHuffman, huffmanLength } from "./huffman.ts";
import { ListMemo } from "./memo.ts";
import { STATIC_COUNT, staticNameIndex } from "./static-table.ts";

export interface EncoderOptions {
  /** Our own limit of the table, bytes; the peer's may be less. Default 4096. */
  readonly maxTableBytes?: number;
  /** Huffman where it is not longer. Default false: on one node, bytes are cheaper than the time. */
  readonly huffman?: boolean;
}

/** Strings this short are copied by hand: faster than the call. */
const SHORT = 24;
/** Prefix and lengths of one field, and a table size update, at most. */
const FIELD_BOUND = 16;
/** Blocks that are remembered while the table stays as it is. */
const MEMO_SLOTS = 16;
const MEMO_BYTES = 256;

interface Remembered {
  /** Of the table. */
  readonly version: number;
  readonly bytes: Buffer;
}

export class HpackEncoder {
  readonly #table = new DynamicTable();
  readonly #maxTableBytes: number;
  readonly #huffman: boolean;
  readonly #byField = new Map<HeaderField, number>();
  readonly #byName = new Map<string, number>();
  readonly #memo = new ListMemo<Remembered>(MEMO_SLOTS);
  /** The least and the last limit since the last block, where they changed (4.2). */
  #leastDue = -1;
  #lastDue = -1;

  constructor({ maxTableBytes = DEFAULT_TABLE_BYTES, huffman = false }: EncoderOptions = {}) {
    this.#maxTableBytes = maxTableBytes;
    this.#huffman = huffman;
    this.setLimit(DEFAULT_TABLE_BYTES);
  }

  get tableBytes(): number {
    return this.#table.bytes;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block says what is made of it. */
  setLimit(bytes: number): void {
    const limit = Math.min(bytes, this.#maxTableBytes);
    if (limit === this.#table.maxBytes) return;
    this.#table.maxBytes = limit;
    this.#makeRoom(0);
    this.#leastDue = this.#leastDue < 0 ? limit : Math.min(this.#leastDue, limit);
    this.#lastDue = limit;
  }

  /** Bytes that `fields` take at most. */
  static bound(fields: readonly HeaderField[]): number {
    let bytes = FIELD_BOUND;
    for (const field of fields) bytes += field.name.length + field.value.length + FIELD_BOUND;
    return bytes;
  }

  /** Writes a whole block to `out` at `at`, where {@link bound} bytes are free. @returns where it ends */
  encode(fields: readonly HeaderField[], out: Buffer, at: number): number {
    if (this.#lastDue >= 0) {
      if (this.#leastDue < this.#lastDue) at = integer(out, at, this.#leastDue, 31, 0x20);
      at = integer(out, at, this.#lastDue, 31, 0x20);
      this.#leastDue = -1;
      this.#lastDue = -1;
    }
    const { version } = this.#table;
    const memo = this.#memo;
    const known = memo.find(fields);
    if (known?.version === version) return at + known.bytes.copy(out, at);
    const start = at;
    for (let index = 0; index < fields.length; index++) at = this.#field(fields[index]!, out, at);
    if (memo.worth && this.#table.version === version && at - start <= MEMO_BYTES) {
      memo.put(fields, { version, bytes: Buffer.from(out.subarray(start, at)) });
    }
    return at;
  }

  #field(field: HeaderField, out: Buffer, at: number): number {
    if (field.staticIndex !== 0) {
      out[at++] = 0x80 | field.staticIndex;
      return at;
    }
    const table = this.#table;
    const known = this.#byField.get(field);
    if (known !== undefined) return integer(out, at, STATIC_COUNT + 1 + table.added - known, 127, 0x80);
    const nameIndex = this.#nameIndex(field.name);
    if (field.indexing !== INDEXED || field.size > table.maxBytes) {
      at = integer(out, at, nameIndex, 15, field.indexing === NEVER_INDEXED ? 0x10 : 0);
      return this.#strings(field, nameIndex, out, at);
    }
    at = integer(out, at, nameIndex, 63, 0x40);
    at = this.#strings(field, nameIndex, out, at);
    this.#makeRoom(field.size);
    table.add(field);
    this.#byField.set(field, table.added);
    this.#byName.set(field.name, table.added);
    return at;
  }

  #nameIndex(name: string): number {
    const index = staticNameIndex(name);
    if (index !== 0) return index;
    const added = this.#byName.get(name);
    return added === undefined ? 0 : STATIC_COUNT + 1 + this.#table.added - added;
  }

  #strings(field: HeaderField, nameIndex: number, out: Buffer, at: number): number {
    if (nameIndex === 0) at = this.#string(field.name, out, at);
    return this.#string(field.value, out, at);
  }

  #string(text: string, out: Buffer, at: number): number {
    const { length } = text;
    if (this.#huffman) {
      const coded = huffmanLength(text);
      if (coded <= length && length > 0) return encodeHuffman(text, out, integer(out, at, coded, 127, 0x80));
    }
    at = integer(out, at, length, 127, 0);
    if (length < SHORT) for (let index = 0; index < length; index++) out[at + index] = text.charCodeAt(index);
    else out.write(text, at, length, "latin1");
    return at + length;
  }

  #makeRoom(size: number): void {
    const table = this.#table;
    while (table.isOver(size)) {
      const number = table.added - table.count + 1;
      const field = table.evictOldest();
      if (field === undefined) return;
      if (this.#byField.get(field) === number) this.#byField.delete(field);
      if (this.#byName.get(field.name) === number) this.#byName.delete(field.name);
    }
  }
}

/** An integer after the bits of `first`, with a prefix of `mask` (5.1). */
function integer(out: Buffer, at: number, value: number, mask: number, first: number): number {
  if (value < mask) {
    out[at++] = first | value;
    return at;
  }
  out[at++] = first | mask;
  value -= mask;
  while (value >= 128) {
    out[at++] = 128 | (value & 127);
    value >>>= 7;
  }
  out[at++] = value;
  return at;
}
