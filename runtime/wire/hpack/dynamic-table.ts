/** A dynamic table (RFC 7541, 2.3.2 and 4): newest first, bounded in bytes. */
import type { HeaderField } from "./field.ts";

/** SETTINGS_HEADER_TABLE_SIZE until somebody says otherwise (RFC 9113, 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4_096;

export class DynamicTable {
  #ring: (HeaderField | undefined)[] = new Array<HeaderField | undefined>(16);
  #oldest = 0;
  #count = 0;
  #bytes = 0;
  #maxBytes = DEFAULT_TABLE_BYTES;
  /** How many fields were ever added: the number of the newest, counted from 1. */
  added = 0;
  /** Another after each change. */
  version = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Sets the limit; whoever calls it evicts what is over. */
  set maxBytes(bytes: number) {
    this.#maxBytes = bytes;
    this.version++;
  }

  /** @param age 0 is the newest */
  at(age: number): HeaderField | undefined {
    if (age >= this.#count) return undefined;
    return this.#ring[(this.#oldest + this.#count - 1 - age) & (this.#ring.length - 1)];
  }

  /** Whether something must go before a field of `size` fits. */
  isOver(size: number): boolean {
    return this.#count > 0 && this.#bytes + size > this.#maxBytes;
  }

  evictOldest(): HeaderField | undefined {
    const field = this.#ring[this.#oldest];
    if (field === undefined) return undefined;
    this.#ring[this.#oldest] = undefined;
    this.#oldest = (this.#oldest + 1) & (this.#ring.length - 1);
    this.#count--;
    this.#bytes -= field.size;
    this.version++;
    return field;
  }

  /** Adds what fits: room was made before. */
  add(field: HeaderField): void {
    if (this.#count === this.#ring.length) this.#grow();
    this.#ring[(this.#oldest + this.#count) & (this.#ring.length - 1)] = field;
    this.#count++;
    this.#bytes += field.size;
    this.added++;
    this.version++;
  }

  #grow(): void {
    const grown = new Array<HeaderField | undefined>(this.#ring.length * 2);
    for (let index = 0; index < this.#count; index++) {
      grown[index] = this.#ring[(this.#oldest + index) & (this.#ring.length - 1)];
    }
    this.#ring = grown;
    this.#oldest = 0;
  }
}
