/** What all metrics have in common: series by their labels, shown while they are used and for some time after. */
import { renderLabels } from "../../prometheus/labels.ts";
import type { Retained, Retention } from "./retention.ts";
import type { Labels } from "./series.ts";

/** Where a series is shown, and what forgets it. */
export interface Place {
  readonly shown: Map<string, Series>;
  readonly retention: Retention;
}

export abstract class Series implements Retained {
  /** Rendered, without braces. */
  readonly labels: string;
  epoch = 0;
  readonly #place: Place;

  constructor(labels: string, place: Place) {
    this.labels = labels;
    this.#place = place;
  }

  get busy(): boolean {
    return false;
  }

  /** With every use: one comparison, but for the first in a while. */
  protected used(): void {
    const { retention } = this.#place;
    if (this.epoch !== retention.epoch) retention.touch(this);
  }

  restore(): void {
    this.#place.shown.set(this.labels, this);
  }

  forget(): void {
    // Somebody else may have made the same series anew, after this one had been forgotten before.
    const { shown } = this.#place;
    if (shown.get(this.labels) === this) shown.delete(this.labels);
  }
}

export class SeriesFamily<S extends Series> {
  readonly #shown = new Map<string, S>();
  readonly #retention: Retention;
  readonly #make: (rendered: string, place: Place, labels: Labels) => S;

  constructor(retention: Retention, make: (rendered: string, place: Place, labels: Labels) => S) {
    this.#retention = retention;
    this.#make = make;
  }

  series(labels: Labels): S {
    const key = renderLabels(labels);
    const present = this.#shown.get(key);
    if (present !== undefined) return present;
    const place = { shown: this.#shown as Map<string, Series>, retention: this.#retention };
    const series = this.#make(key, place, labels);
    this.#retention.touch(series);
    return series;
  }

  /** Those that are shown now. A generator may outlast many turns: series come and go meanwhile. */
  all(): IterableIterator<S> {
    return this.#shown.values();
  }
}
