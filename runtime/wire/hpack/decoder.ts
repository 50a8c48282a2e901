/** Decodes header blocks (RFC 7541), strictly: whatever is not exactly as written there is an {@link HpackError}. */
import { DEFAULT_TABLE_BYTES, DynamicTable } from "./dynamic-table.ts";
import { HpackError } from "./error.ts";
import { HeaderField, LITERAL, NEVER_INDEXED } from "./field.ts";
import { decodeHuffman } from "./huffman.ts";
import { internField } from "./intern.ts";
import { BytesMemo } from "./memo.ts";
import { STATIC_COUNT, STATIC_TABLE } from "./static-table.ts";

/** Integers beyond 2^28 are nobody's index, length or table size; four octets after the prefix say them. */
const MAX_CONTINUED = 4;
/** Blocks that are remembered while the table stays as it is; larger ones are not. */
const MEMO_SLOTS = 16;
const MEMO_BYTES = 256;

interface Remembered {
  /** Of the table. */
  readonly version: number;
  readonly fields: readonly HeaderField[];
}

export class HpackDecoder {
  readonly #table = new DynamicTable();
  readonly #maxListBytes: number;
  /** SETTINGS_HEADER_TABLE_SIZE as the peer has acknowledged it. */
  #limit = DEFAULT_TABLE_BYTES;
  /** The limit fell below the table: the next block begins with an update (RFC 7541, 4.2). */
  #updateDue = false;
  #at = 0;
  /** The same bytes are the same fields, and the same objects, which others find what they made of them by. */
  readonly #memo = new BytesMemo<Remembered>(MEMO_SLOTS, MEMO_BYTES);

  /** @param maxListBytes fields of a block beyond it are decoded for the table's sake and dropped */
  constructor(maxListBytes: number) {
    this.#maxListBytes = maxListBytes;
  }

  get tableBytes(): number {
    return this.#table.bytes;
  }

  get tableCount(): number {
    return this.#table.count;
  }

  /** Call when the peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE. */
  setLimit(bytes: number): void {
    this.#limit = bytes;
    this.#updateDue = this.#table.maxBytes > bytes;
  }

  /**
   * Decodes the whole block `bytes[start, end)` and puts its fields into `fields`, from index 0.
   * @returns whether they kept to the limit of their sizes; `fields` ends before the one that did not
   * @throws HpackError
   */
  decode(bytes: Buffer, start: number, end: number, fields: HeaderField[]): boolean {
    const { version } = this.#table;
    const memo = this.#memo;
    const known = memo.find(bytes, start, end);
    if (known?.version === version && !this.#updateDue) {
      const { length } = known.fields;
      for (let index = 0; index < length; index++) fields[index] = known.fields[index]!;
      // Setting it costs more than all of the above.
      if (fields.length !== length) fields.length = length;
      return true;
    }
    const complete = this.#decode(bytes, start, end, fields);
    if (complete && memo.worth && this.#table.version === version) {
      memo.put(bytes, start, end, { version, fields: [...fields] });
    }
    return complete;
  }

  #decode(bytes: Buffer, start: number, end: number, fields: HeaderField[]): boolean {
    let listBytes = 0;
    let count = 0;
    this.#at = start;
    let beginning = true;
    while (this.#at < end) {
      const octet = bytes[this.#at]!;
      if ((octet & 0xe0) === 0x20) {
        if (!beginning) throw new HpackError("a table size update after a field (RFC 7541, 4.2)");
        this.#resize(this.#integer(bytes, end, 31));
        continue;
      }
      if (beginning && this.#updateDue)
        throw new HpackError("no table size update after the limit fell (RFC 7541, 4.2)");
      beginning = false;
      const field = octet & 0x80 ? this.#field(this.#integer(bytes, end, 127)) : this.#literal(bytes, end, octet);
      listBytes += field.size;
      if (listBytes <= this.#maxListBytes) fields[count++] = field;
    }
    if (fields.length !== count) fields.length = count;
    return listBytes <= this.#maxListBytes;
  }

  #literal(bytes: Buffer, end: number, octet: number): HeaderField {
    const indexed = (octet & 0x40) !== 0;
    const index = this.#integer(bytes, end, indexed ? 63 : 15);
    const name = index === 0 ? this.#string(bytes, end) : this.#field(index).name;
    const value = this.#string(bytes, end);
    if (!indexed) return new HeaderField(name, value, octet & 0x10 ? NEVER_INDEXED : LITERAL);
    const field = internField(name, value);
    const table = this.#table;
    while (table.isOver(field.size)) table.evictOldest();
    // Larger than the table: an empty one remains (4.4).
    if (field.size <= table.maxBytes) table.add(field);
    return field;
  }

  #field(index: number): HeaderField {
    if (index === 0) throw new HpackError("index 0 (RFC 7541, 6.1)");
    const field = index <= STATIC_COUNT ? STATIC_TABLE[index] : this.#table.at(index - STATIC_COUNT - 1);
    if (field === undefined)
      throw new HpackError(`index ${index} of ${STATIC_COUNT + this.#table.count} (RFC 7541, 2.3.3)`);
    return field;
  }

  #resize(bytes: number): void {
    if (bytes > this.#limit)
      throw new HpackError(`a table of ${bytes} bytes where ${this.#limit} are allowed (RFC 7541, 6.3)`);
    const table = this.#table;
    table.maxBytes = bytes;
    while (table.isOver(0)) table.evictOldest();
    this.#updateDue = false;
  }

  /** An integer whose prefix has the bits of `mask` (5.1). */
  #integer(bytes: Buffer, end: number, mask: number): number {
    let value = bytes[this.#at++]! & mask;
    if (value < mask) return value;
    for (let octets = 0; octets < MAX_CONTINUED; octets++) {
      if (this.#at >= end) throw new HpackError("it ends inside an integer");
      const octet = bytes[this.#at++]!;
      value += (octet & 127) * 2 ** (7 * octets);
      if (octet < 128) return value;
    }
    throw new HpackError("an integer beyond all limits (RFC 7541, 5.1)");
  }

  #string(bytes: Buffer, end: number): string {
    if (this.#at >= end) throw new HpackError("it ends before a string");
    const coded = (bytes[this.#at]! & 0x80) !== 0;
    const length = this.#integer(bytes, end, 127);
    const start = this.#at;
    if (length > end - start) throw new HpackError("a string longer than the block (RFC 7541, 5.2)");
    this.#at = start + length;
    return coded ? decodeHuffman(bytes, start, this.#at) : bytes.toString("latin1", start, this.#at);
  }
}
