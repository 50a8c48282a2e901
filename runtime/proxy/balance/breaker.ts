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
  /** Failures in a row that open the circuit; Infinity: none do. */
  readonly maxConsecutive: number;
  readonly backoff: Backoff;
  /** What an overloaded endpoint asks for is at least how long it is left alone. */
  readonly honorsRetryAfter: boolean;
  /** The `unified` kind: it opens for a low rate of success too, for which 429 and RESOURCE_EXHAUSTED are failures. */
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
  /** Of Retry-After or grpc-retry-pushback-ms. */
  readonly retryAfterMs: number | undefined;
}

const BUCKETS = 10;
const TOO_MANY_REQUESTS = 429;
const SERVICE_UNAVAILABLE = 503;
const RESOURCE_EXHAUSTED = 8;
const UNAVAILABLE = 14;
/** Longer than any endpoint is left alone because it says so (Linkerd's). */
const MAX_HINT_MS = 300_000;

/** It has too much to do: no failure of the endpoint's, but a reason to ask another one. */
export function isRateLimited({ status, grpcStatus }: Outcome): boolean {
  return status === TOO_MANY_REQUESTS || grpcStatus === RESOURCE_EXHAUSTED;
}

/** How long an overloaded endpoint asks to be left alone, milliseconds: other failures say nothing of the kind. */
export function retryHint(outcome: Outcome): number | undefined {
  const { status, grpcStatus, retryAfterMs } = outcome;
  const overloaded = isRateLimited(outcome) || status === SERVICE_UNAVAILABLE || grpcStatus === UNAVAILABLE;
  return overloaded ? retryAfterMs : undefined;
}

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

  outcome(outcome: Outcome, now: number): void {
    const { rate, maxConsecutive } = this.#policy;
    const { failure } = outcome;
    const failed = failure || (rate !== undefined && isRateLimited(outcome));
    if (this.openUntil !== 0) {
      // What was sent before the circuit opened decides nothing.
      if (!this.probing) return;
      this.probing = false;
      if (failed) this.#open(now, retryHint(outcome));
      else this.#close();
      return;
    }
    // Those in a row are of an endpoint that is broken; one that has too much to do is not.
    this.#consecutive = failure ? this.#consecutive + 1 : 0;
    if (rate !== undefined) this.#count(rate.windowMs, failed, now);
    if (failed && (this.#consecutive >= maxConsecutive || this.#rateIsLow())) this.#open(now, retryHint(outcome));
  }

  #count(windowMs: number, failed: boolean, now: number): void {
    const bucket = Math.floor(now / (windowMs / BUCKETS));
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

  #open(now: number, hintMs: number | undefined): void {
    if (this.openUntil === 0 && !this.#mayOpen()) return;
    const { minMs, maxMs, jitter } = this.#policy.backoff;
    const backoff = Math.min(maxMs, minMs * 2 ** this.#opened) * (1 + jitter * this.#random());
    this.#opened++;
    const hint = this.#policy.honorsRetryAfter ? Math.min(MAX_HINT_MS, hintMs ?? 0) : 0;
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

/** grpc-retry-pushback-ms (gRPC's A6). What is negative asks for no retry at all, which is nothing that one could wait for. */
export function parsePushback(value: string): number | undefined {
  return /^\d{1,10}$/.test(value) ? Number(value) : undefined;
}

/** Retry-After in seconds or as a date (RFC 9110, 10.2.3). @param wallNow milliseconds since 1970 */
export function parseRetryAfter(value: string | undefined, wallNow: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - wallNow);
}
