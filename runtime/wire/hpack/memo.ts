/**
 * What was made of bytes, or of lists of fields, found again where the same come again, as heads of messages do. Kept from the second
 * time on: what comes once costs a look and is not copied. Bounded: what falls on a taken slot takes its place.
 */
import type { HeaderField } from "./field.ts";

/** Bytes that are looked at to find a slot. */
const SAMPLES = 16;

/** Of bytes, compared one by one. */
export class BytesMemo<Value> {
  readonly #keys: (Buffer | undefined)[];
  readonly #values: (Value | undefined)[];
  readonly #seen: Int32Array;
  readonly #maxBytes: number;
  #slot = 0;
  /** Whether what was not found, or is no more true, has come before: {@link put} keeps it. */
  worth = false;

  /** @param slots a power of two. @param maxBytes longer keys are not kept */
  constructor(slots: number, maxBytes: number) {
    this.#keys = new Array<Buffer | undefined>(slots);
    this.#values = new Array<Value | undefined>(slots);
    this.#seen = new Int32Array(slots);
    this.#maxBytes = maxBytes;
  }

  find(bytes: Buffer, start: number, end: number): Value | undefined {
    const length = end - start;
    let hash = length;
    const step = (length >> 4) + 1;
    for (let at = start, samples = 0; samples < SAMPLES && at < end; samples++, at += step) {
      hash = Math.imul(hash ^ bytes[at]!, 16_777_619);
    }
    hash ^= hash >>> 15;
    const slot = hash & (this.#keys.length - 1);
    const key = this.#keys[slot];
    this.#slot = slot;
    if (key !== undefined && key.length === length && same(key, bytes, start)) {
      this.worth = true;
      return this.#values[slot];
    }
    this.worth = this.#seen[slot] === hash && length <= this.#maxBytes;
    this.#seen[slot] = hash;
    return undefined;
  }

  /** What was made of the bytes that {@link find} was asked for last. */
  put(bytes: Buffer, start: number, end: number, value: Value): void {
    const key = this.#keys[this.#slot];
    if (key === undefined || key.length !== end - start || !same(key, bytes, start)) {
      this.#keys[this.#slot] = Buffer.from(bytes.subarray(start, end));
    }
    this.#values[this.#slot] = value;
  }
}

function same(key: Buffer, bytes: Buffer, start: number): boolean {
  for (let index = key.length - 1; index >= 0; index--) if (key[index] !== bytes[start + index]) return false;
  return true;
}

/** Of lists of fields, compared by identity. */
export class ListMemo<Value> {
  readonly #keys: (readonly HeaderField[] | undefined)[];
  readonly #values: (Value | undefined)[];
  readonly #seen: Int32Array;
  /** Of the keys. Two that differ only in what else the value depends on have different ones. */
  readonly #hashes: Int32Array;
  #hash = 0;
  #slot = 0;
  /** Whether what was not found, or is no more true, has come before: {@link put} keeps it. */
  worth = false;

  /** @param slots a power of two */
  constructor(slots: number) {
    this.#keys = new Array<readonly HeaderField[] | undefined>(slots);
    this.#values = new Array<Value | undefined>(slots);
    this.#seen = new Int32Array(slots);
    this.#hashes = new Int32Array(slots);
  }

  /** @param salt what else the value depends on, a small number */
  find(fields: readonly HeaderField[], salt = 0): Value | undefined {
    const { length } = fields;
    let hash = length + salt;
    for (let index = 0; index < length; index++) hash = Math.imul(hash, 31) + fields[index]!.id;
    hash = (hash ^ (hash >>> 15)) | 0;
    const slot = hash & (this.#keys.length - 1);
    const key = this.#keys[slot];
    this.#slot = slot;
    this.#hash = hash;
    if (key !== undefined && this.#hashes[slot] === hash && identical(key, fields)) {
      this.worth = true;
      return this.#values[slot];
    }
    this.worth = this.#seen[slot] === hash;
    this.#seen[slot] = hash;
    return undefined;
  }

  /** What was made of the list that {@link find} was asked for last. */
  put(fields: readonly HeaderField[], value: Value): void {
    this.#keys[this.#slot] = [...fields];
    this.#hashes[this.#slot] = this.#hash;
    this.#values[this.#slot] = value;
  }
}

function identical(key: readonly HeaderField[], fields: readonly HeaderField[]): boolean {
  if (key.length !== fields.length) return false;
  for (let index = 0; index < key.length; index++) if (key[index] !== fields[index]) return false;
  return true;
}
