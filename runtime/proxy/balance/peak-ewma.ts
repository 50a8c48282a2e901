/**
 * Load of one endpoint: peak-sensitive exponentially weighted moving average of its response times, times the requests
 * under way (reference 9.1). A slower answer counts at once, faster ones fade in over `decayMs`; an endpoint that is left
 * alone is forgotten to be slow in the same time, or nobody would ever try it again.
 */

/** Answers faster than this differ only by noise. */
const FLOOR_MS = 1;

export class PeakEwma {
  readonly #decayMs: number;
  #estimateMs: number;
  #updatedAt: number;
  outstanding = 0;

  constructor(defaultRttMs: number, decayMs: number, now: number) {
    this.#decayMs = decayMs;
    this.#estimateMs = Math.max(defaultRttMs, FLOOR_MS);
    this.#updatedAt = now;
  }

  /** A request was answered after `rttMs`. Times in milliseconds of one monotonic clock. */
  observe(rttMs: number, now: number): void {
    const sample = Math.max(rttMs, FLOOR_MS);
    if (sample > this.#estimateMs) {
      this.#estimateMs = sample;
    } else {
      const weight = Math.exp(-Math.max(0, now - this.#updatedAt) / this.#decayMs);
      this.#estimateMs = this.#estimateMs * weight + sample * (1 - weight);
    }
    this.#updatedAt = now;
  }

  /** A request failed, which counts as an answer after `rttMs`; it makes no endpoint look better than it did. */
  penalize(rttMs: number, now: number): void {
    this.observe(Math.max(rttMs, this.#faded(now)), now);
  }

  load(now: number): number {
    return Math.max(this.#faded(now), FLOOR_MS) * (this.outstanding + 1);
  }

  #faded(now: number): number {
    return this.#estimateMs * Math.exp(Math.min(0, this.#updatedAt - now) / this.#decayMs);
  }
}
