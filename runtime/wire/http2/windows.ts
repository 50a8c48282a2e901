/** Flow control (RFC 9113, 5.2 and 6.9): how much may be sent, and how much was allowed to be received. */
import { MAX_WINDOW } from "./protocol.ts";

/** What the other end allows. Below zero where it made its initial window smaller afterwards (6.9.2). */
export class SendWindow {
  available: number;

  constructor(initial: number) {
    this.available = initial;
  }

  /** @returns false where it grew beyond what a window may be (6.9.1) */
  grow(bytes: number): boolean {
    this.available += bytes;
    return this.available <= MAX_WINDOW;
  }
}

/** What we allow. Credit is given back when half of it is used up: a small read is no reason for a frame. */
export class ReceiveWindow {
  readonly #size: number;
  #available: number;
  #consumed = 0;

  /** @param initial what the other end knows of it; credit up to `size` is given with the first {@link consume} */
  constructor(size: number, initial: number = size) {
    this.#size = size;
    this.#available = initial;
    this.#consumed = size - initial;
  }

  /** The other end may send nothing. */
  get shut(): boolean {
    return this.#available <= 0;
  }

  /** @returns false where the other end sends more than it may */
  receive(bytes: number): boolean {
    this.#available -= bytes;
    return this.#available >= 0;
  }

  /** What was received is used. @returns credit to send now, mostly 0 */
  consume(bytes: number): number {
    this.#consumed += bytes;
    if (this.#consumed * 2 < this.#size) return 0;
    const credit = this.#consumed;
    this.#consumed = 0;
    this.#available += credit;
    return credit;
  }
}
