/** The arithmetic of the report. */

/** Of an even number: the middle of the two in the middle. NaN of none. */
export function median(numbers: readonly number[]): number {
  if (numbers.length === 0) return Number.NaN;
  const sorted = numbers.toSorted((a, b) => a - b);
  const low = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  const high = sorted[sorted.length >> 1] ?? Number.NaN;
  return (low + high) / 2;
}

/** All samples of several runs in one, sorted: percentiles of percentiles mean nothing. */
export function pool(runs: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(runs.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const run of runs) {
    all.set(run, at);
    at += run.length;
  }
  return all.sort();
}

/** The smallest sample that `share` (0 to 1) of all do not exceed (nearest rank). NaN of none. @param sorted ascending */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? Number.NaN;
}

/** `a` over `b`; null where either is not known, or nothing can be compared with it. */
export function ratio(a: number | null | undefined, b: number | null | undefined): number | null {
  if (a === null || a === undefined || b === null || b === undefined) return null;
  const value = a / b;
  return Number.isFinite(value) ? value : null;
}

/** JSON knows no NaN. @param digits after the point */
export function rounded(value: number, digits = 2): number | null {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : null;
}
