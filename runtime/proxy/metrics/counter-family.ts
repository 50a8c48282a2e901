import { Series, SeriesFamily } from "./family.ts";
import type { Retention } from "./retention.ts";
import type { Counter } from "./series.ts";
import { renderSample } from "./text.ts";

class CounterSeries extends Series implements Counter {
  value = 0;

  add(amount = 1): void {
    this.used();
    this.value += amount;
  }
}

/** A counter over its label sets. */
export class CounterFamily extends SeriesFamily<CounterSeries> {
  constructor(retention: Retention) {
    super(retention, (labels, place) => new CounterSeries(labels, place));
  }

  *values(name: string): Generator<string> {
    for (const series of this.all()) yield renderSample(name, series.labels, series.value);
  }
}
