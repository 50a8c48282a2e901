/** Retries as a share of requests (reference 9.4): each request pays in, each retry takes out, and some are free every second. */

/** Linkerd's, where a profile says nothing (reference 5.2). */
export const DEFAULT_BUDGET: BudgetParameters = { ratio: 0.2, minPerSecond: 10, ttlMs: 10_000 };

export interface BudgetParameters {
  readonly ratio: number;
  readonly minPerSecond: number;
  /** How long a payment counts. */
  readonly ttlMs: number;
}

const SLOTS = 10;

export class RetryBudget {
  readonly #ratio: number;
  readonly #free: number;
  readonly #slotMs: number;
  readonly #now: () => number;
  /** Balance of each part of the window, the newest at `#at`. A retry takes 1. */
  readonly #slots = new Float64Array(SLOTS);
  #at = 0;
  #startedAt: number;

  constructor({ ratio, minPerSecond, ttlMs }: BudgetParameters, now: () => number = () => performance.now()) {
    this.#ratio = ratio;
    this.#free = (minPerSecond * ttlMs) / 1_000;
    this.#slotMs = ttlMs / SLOTS;
    this.#now = now;
    this.#startedAt = now();
  }

  deposit(): void {
    this.#advance();
    this.#slots[this.#at] = (this.#slots[this.#at] as number) + this.#ratio;
  }

  /** @returns whether a retry may be made, which is counted then */
  withdraw(): boolean {
    this.#advance();
    let balance = this.#free;
    for (const amount of this.#slots) balance += amount;
    if (balance < 1) return false;
    this.#slots[this.#at] = (this.#slots[this.#at] as number) - 1;
    return true;
  }

  #advance(): void {
    const passed = Math.floor((this.#now() - this.#startedAt) / this.#slotMs);
    if (passed <= 0) return;
    this.#startedAt += passed * this.#slotMs;
    for (let step = 0; step < Math.min(passed, SLOTS); step++) {
      this.#at = (this.#at + 1) % SLOTS;
      this.#slots[this.#at] = 0;
    }
  }
}
