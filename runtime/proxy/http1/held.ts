/** A copy of what a request has sent so far, for as long as it may have to be sent again. */

import { MAX_KEPT_BYTES } from "../http/tries.ts";

/** Buffers up to this size stay with their connection. */
const KEPT_BYTES = 4_096;
const FIRST_BYTES = 512;

const NONE = Buffer.alloc(0);

export class Held {
  bytes: Buffer = NONE;
  length = 0;
  /** Whether `bytes[0, length)` is all that was sent. */
  complete = false;
  #most = MAX_KEPT_BYTES;

  /** Begins with `bytes[from, to)`. @param most so many are kept; more are not, and nothing then */
  start(bytes: Buffer, from: number, to: number, most = MAX_KEPT_BYTES): void {
    this.length = 0;
    this.#most = most;
    this.complete = true;
    this.#append(bytes, from, to);
  }

  add(bytes: Buffer, from: number, to: number): void {
    if (!this.complete) return;
    if (this.length + to - from > this.#most) this.drop();
    else this.#append(bytes, from, to);
  }

  drop(): void {
    this.complete = false;
    this.length = 0;
    if (this.bytes.length > KEPT_BYTES) this.bytes = NONE;
  }

  #append(bytes: Buffer, from: number, to: number): void {
    const wanted = this.length + to - from;
    if (wanted > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, 2 ** Math.ceil(Math.log2(wanted))));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    this.length += bytes.copy(this.bytes, this.length, from, to);
  }
}
