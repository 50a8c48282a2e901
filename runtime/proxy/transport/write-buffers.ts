/** The buffers that writes are made of: a pool, for a buffer that a kernel still reads from cannot be used again. */

/** Room for one read of 64 KiB and the head that is written before it. */
export const WRITE_BYTES = 81_920;
const MAX_SPARE = 8;
const spare: Buffer[] = [];

export function takeWriteBuffer(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(WRITE_BYTES);
}

/** Ignores what is not of the pool. */
export function giveBackWriteBuffer(buffer: Buffer): void {
  if (buffer.length === WRITE_BYTES && spare.length < MAX_SPARE) spare.push(buffer);
}

/** What waits to be written, oldest first. Bytes are copied: into one buffer of the pool, and what has no room there into their own. */
export class Backlog {
  /** How many bytes wait. */
  bytes = 0;
  #buffer: Buffer | undefined;
  #filled = 0;
  #overflow: Buffer[] = [];

  add(buffer: Buffer, start: number, end: number): void {
    const count = end - start;
    this.bytes += count;
    if (this.#overflow.length > 0 || this.#filled + count > WRITE_BYTES) {
      this.#overflow.push(Buffer.from(buffer.subarray(start, end)));
      return;
    }
    this.#buffer ??= takeWriteBuffer();
    this.#filled += buffer.copy(this.#buffer, this.#filled, start, end);
  }

  /** Length of what {@link shift} gives: bytes of its beginning. */
  get nextBytes(): number {
    return this.#buffer === undefined ? this.bytes : this.#filled;
  }

  /** The buffer with the oldest bytes; whoever takes it gives it back. Call only while `bytes` is not 0. */
  shift(): Buffer {
    this.bytes -= this.nextBytes;
    const buffer = this.#buffer;
    if (buffer !== undefined) {
      this.#buffer = undefined;
      this.#filled = 0;
      return buffer;
    }
    const rest = this.#overflow;
    this.#overflow = [];
    return rest.length === 1 ? (rest[0] as Buffer) : Buffer.concat(rest);
  }

  clear(): void {
    if (this.#buffer !== undefined) giveBackWriteBuffer(this.#buffer);
    this.#buffer = undefined;
    this.#filled = 0;
    this.#overflow = [];
    this.bytes = 0;
  }
}
