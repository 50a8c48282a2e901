/** Counts over fixed buckets. A sample costs a look-up or a few comparisons, and no allocation. */
import { joinLabels, renderSample } from "./text.ts";

export class Histogram {
  /** Upper bounds; +Inf follows. */
  readonly bounds: readonly number[];
  /** Not cumulative; the last one is +Inf. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  record(value: number): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    this.sum += value;
    this.counts[bucket]! += 1;
  }

  /** @param labels rendered, without braces */
  render(name: string, labels: string): string {
    const { bounds, counts } = this;
    const before = `${name}_bucket{${joinLabels(labels, 'le="')}`;
    let count = 0;
    let text = "";
    for (let index = 0; index < bounds.length; index++) {
      count += counts[index]!;
      text += `${before}${bounds[index]}"} ${count}\n`;
    }
    count += counts[bounds.length]!;
    text += `${before}+Inf"} ${count}\n`;
    const sum = Math.round(this.sum * 1e6) / 1e6;
    return text + renderSample(`${name}_sum`, labels, sum) + renderSample(`${name}_count`, labels, count);
  }
}

/** Of `response_latency_ms`, milliseconds (reference 7.3). A test holds those of the readers to them. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000, 20_000, 30_000,
  40_000, 50_000,
];

const TABLE_END = 500;
/** Bucket of every whole number of milliseconds up to TABLE_END. */
const TABLE = Uint8Array.from({ length: TABLE_END + 1 }, (_, milliseconds) =>
  LATENCY_BOUNDS_MS.findIndex((bound) => milliseconds <= bound),
);

/** Most samples are small: their bucket is looked up. */
export class LatencyHistogram extends Histogram {
  constructor() {
    super(LATENCY_BOUNDS_MS);
  }

  override record(milliseconds: number): void {
    if (milliseconds > TABLE_END) {
      super.record(milliseconds);
      return;
    }
    this.sum += milliseconds;
    this.counts[TABLE[Math.max(0, Math.ceil(milliseconds))] ?? 0]! += 1;
  }
}
