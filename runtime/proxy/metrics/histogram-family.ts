import { type Place, Series, SeriesFamily } from "./family.ts";
import { Histogram } from "./histogram.ts";
import type { Retention } from "./retention.ts";
import type { Distribution } from "./series.ts";

class HistogramSeries extends Series implements Distribution {
  readonly histogram: Histogram;

  constructor(labels: string, place: Place, bounds: readonly number[]) {
    super(labels, place);
    this.histogram = new Histogram(bounds);
  }

  record(value: number): void {
    this.used();
    this.histogram.record(value);
  }
}

/** A histogram over its label sets. */
export class HistogramFamily extends SeriesFamily<HistogramSeries> {
  constructor(retention: Retention, bounds: readonly number[]) {
    super(retention, (labels, place) => new HistogramSeries(labels, place, bounds));
  }

  *values(name: string): Generator<string> {
    for (const { histogram, labels } of this.all()) yield histogram.render(name, labels);
  }
}
