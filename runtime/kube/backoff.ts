/** Growing pauses between tries, with jitter so that many clients do not return together. */
export interface BackoffOptions {
  readonly firstMs: number;
  readonly capMs: number;
  /** A failure this long after the one before counts as the first again. */
  readonly healthyMs: number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;
  #lastFailure = Number.NEGATIVE_INFINITY;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Tells of a failure; @returns milliseconds to wait, between half and all of the pause */
  next(): number {
    const { firstMs, capMs, healthyMs } = this.#options;
    const now = performance.now();
    if (now - this.#lastFailure > healthyMs + capMs) this.#failures = 0;
    this.#lastFailure = now;
    const pause = Math.min(capMs, firstMs * 2 ** this.#failures);
    this.#failures++;
    return pause * (0.5 + Math.random() / 2);
  }
}
