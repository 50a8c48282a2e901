/** What goes over the wire: bytes that no mix-up of two bodies could fake. */
import { createHash } from "node:crypto";

export const SMALL_LENGTH = 128;
export const LARGE_LENGTH = 65_536;
/** Handed out slowly: the load gives it up half way. */
export const SLOW_LENGTH = 1_048_576;

const noise = (length: number): Buffer => createHash("shake256", { outputLength: length }).update("soak").digest();
export const SMALL = Buffer.from(noise(SMALL_LENGTH / 2).toString("hex"));
export const LARGE = noise(LARGE_LENGTH);

/** Compares what comes, chunk by chunk, with what should. */
export class Expected {
  readonly #bytes: Buffer;
  #at = 0;
  #same = true;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(chunk: Buffer): void {
    const end = this.#at + chunk.length;
    this.#same &&= end <= this.#bytes.length && this.#bytes.subarray(this.#at, end).equals(chunk);
    this.#at = end;
  }

  get whole(): boolean {
    return this.#same && this.#at === this.#bytes.length;
  }

  toString(): string {
    return `${this.#same ? "" : "other bytes, "}${this.#at} of ${this.#bytes.length}`;
  }
}
