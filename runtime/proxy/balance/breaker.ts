/**
 * Circuit breaking of one endpoint (reference 9.3): after too many failures it gets no requests for a while; then a single one
 * decides whether it is well, or is left alone for longer.
 */

interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
  readonly jitter: number;
}

export interface AccrualPolicy {
  /** Failures in a row that open the circuit. */
  readonly maxConsecutive: number;
  readonly backoff: Backoff;
  /** Retry-After, of 429 and 503, is at least how long it is left alone. */
  readonly honorsRetryAfter: boolean;
  /** The `unified` kind: it opens for a low rate of success too, and takes 429 and RESOURCE_EXHAUSTED for failures. */
  readonly rate?: { readonly threshold: number; readonly windowMs: number; readonly minRequests: number };
  /** So many endpoints stay, however badly they do. */
  readonly minReady: number;
}

export interface PenaltyPolicy {
  /** Response time that a failure counts as, milliseconds. */
  readonly penaltyMs: number;
  readonly maxRetryAfterMs: number;
}

export interface Outcome {
  /** 0: there was no answer. */
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly failure: boolean;
  readonly retryAfterMs: number | undefined;
}

const BUCKETS = 10;
const TOO_MANY_REQUESTS = 429;
const RESOURCE_EXHAUSTED = 8;

export class Breaker {
  readonly #policy: AccrualPolicy;
  readonly #mayOpen: () => boolean;
  readonly #random: () => number;
  readonly #good = new Float64Array(BUCKETS);
  readonly #bad = new Float64Array(BUCKETS);
  #bucket = -1;
  #consecutive = 0;
  #opened = 0;
  /** Monotonic milliseconds before which it gets nothing; 0: the circuit is closed. */
  openUntil = 0;
  /** The request that decides is under way. */
  probing = false;

  /** @param mayOpen whether enough others are ready */
  constructor(policy: AccrualPolicy, mayOpen: () => boolean, random: () => number = Math.random) {
    this.#policy = policy;
    this.#mayOpen = mayOpen;
    this.#random = random;
  }

  usable(now: number): boolean {
    return this.openUntil === 0 || (now >= this.openUntil && !this.probing);
  }

  /** It was picked. */
  picked(): void {
    if (this.openUntil !== 0) this.probing = true;
  }

  /** A request ended; without an outcome, it said nothing. */
  released(): void {
    this.probing = false;
  }

  outcome({ status, grpcStatus, failure, retryAfterMs }: Outcome, now: number): void {
    const { rate, maxConsecutive } = this.#policy;
    const limited = rate !== undefined && (status === TOO_MANY_REQUESTS || grpcStatus === RESOURCE_EXHAUSTED);
    const failed = failure || limited;
    if (this.openUntil !== 0) {
      // What was sent before the circuit opened decides nothing.
      if (!this.probing) return;
      this.probing = false;
      if (failed) this.#open(now, retryAfterMs);
      else this.#close();
      return;
    }
    this.#count(failed, now);
    if (failed && (this.#consecutive >= maxConsecutive || this.#rateIsLow())) this.#open(now, retryAfterMs);
  }

  #count(failed: boolean, now: number): void {
    this.#consecutive = failed ? this.#consecutive + 1 : 0;
    const { rate } = this.#policy;
    if (rate === undefined) return;
    const bucket = Math.floor(now / (rate.windowMs / BUCKETS));
    for (let step = Math.max(this.#bucket + 1, bucket - BUCKETS + 1); step <= bucket; step++) {
      this.#good[step % BUCKETS] = 0;
      this.#bad[step % BUCKETS] = 0;
    }
    this.#bucket = bucket;
    const counts = failed ? this.#bad : this.#good;
    counts[bucket % BUCKETS] = (counts[bucket % BUCKETS] as number) + 1;
  }

  #rateIsLow(): boolean {
    const { rate } = this.#policy;
    if (rate === undefined) return false;
    const good = this.#good.reduce((sum, count) => sum + count, 0);
    const all = this.#bad.reduce((sum, count) => sum + count, good);
    return all >= rate.minRequests && good / all < rate.threshold;
  }

  #open(now: number, retryAfterMs: number | undefined): void {
    if (this.openUntil === 0 && !this.#mayOpen()) return;
    const { minMs, maxMs, jitter } = this.#policy.backoff;
    const backoff = Math.min(maxMs, minMs * 2 ** this.#opened) * (1 + jitter * this.#random());
    this.#opened++;
    const hint = this.#policy.honorsRetryAfter ? (retryAfterMs ?? 0) : 0;
    this.openUntil = now + Math.max(backoff, hint);
  }

  #close(): void {
    this.openUntil = 0;
    this.#opened = 0;
    this.#consecutive = 0;
    this.#good.fill(0);
    this.#bad.fill(0);
  }
}

/** Retry-After in seconds or as a date (RFC 9110, 10.2.3). @param wallNow milliseconds since 1970 */
export function parseRetryAfter(value: string | undefined, wallNow: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - wallNow);
}
