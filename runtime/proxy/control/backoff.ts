/** Growing pauses between tries, with jitter so that the proxies of a cluster do not return together. */
export class Backoff {
  readonly #firstMs: number;
  readonly #capMs: number;
  #failures = 0;

  constructor(firstMs: number, capMs: number) {
    this.#firstMs = firstMs;
    this.#capMs = capMs;
  }

  /** @returns milliseconds to wait, between half and all of the pause */
  next(): number {
    const pause = Math.min(this.#capMs, this.#firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    return pause * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
