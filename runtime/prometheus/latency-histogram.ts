/** `response_latency_ms`: Linkerd's buckets, and quantiles out of them (reference 7.3, 8.3). */

/** Upper bounds in milliseconds; +Inf follows them. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000, 20_000, 30_000,
  40_000, 50_000,
];

/** Buckets of one histogram: one for each bound, and one for what is above all of them. */
export const LATENCY_BUCKETS = LATENCY_BOUNDS_MS.length + 1;

const BUCKET_OF_BOUND = new Map<number, number>(LATENCY_BOUNDS_MS.map((bound, index) => [bound, index]));

/** Index of the bucket that the label `le` names, undefined for a bound that is none of Linkerd's. */
export function latencyBucket(le: string): number | undefined {
  return le === "+Inf" ? LATENCY_BOUNDS_MS.length : BUCKET_OF_BOUND.get(Number(le));
}

/**
 * The quantile `q` (0…1) by linear interpolation within its bucket, as Prometheus' histogram_quantile: the first bucket
 * begins at 0; what lies above the last bound counts as that bound.
 * @param counts samples in each bucket, not cumulative, {@link LATENCY_BUCKETS} of them
 * @returns milliseconds, undefined where there is no sample
 */
export function latencyQuantile(q: number, counts: ArrayLike<number>): number | undefined {
  let total = 0;
  for (let index = 0; index < LATENCY_BUCKETS; index++) total += counts[index] ?? 0;
  if (total <= 0) return undefined;
  const rank = q * total;
  let below = 0;
  for (let index = 0; index < LATENCY_BOUNDS_MS.length; index++) {
    const count = counts[index] ?? 0;
    if (count > 0 && below + count >= rank) {
      const lower = LATENCY_BOUNDS_MS[index - 1] ?? 0;
      const upper = LATENCY_BOUNDS_MS[index] ?? lower;
      return lower + (upper - lower) * Math.max(0, (rank - below) / count);
    }
    below += count;
  }
  return LATENCY_BOUNDS_MS.at(-1);
}
