/** Forgets series that were not used for METRICS_RETAIN_IDLE. Using one again brings it back: whoever holds it need not know. */
export interface Retained {
  /** The epoch of its last use. */
  epoch: number;
  /** In use although nothing changes: open connections. */
  readonly busy: boolean;
  /** Shows it again after it was forgotten. */
  restore(): void;
  forget(): void;
}

/** How many parts a retention time has: a series goes at most one part late. */
const PARTS = 10;

export class Retention {
  /** Grows with time. A series compares it at each use: one number, no clock. */
  epoch = 0;
  readonly #series = new Set<Retained>();
  readonly #timer: NodeJS.Timeout;

  constructor(retainMs: number) {
    this.#timer = setInterval(() => this.advance(), Math.max(retainMs / PARTS, 10));
    this.#timer.unref();
  }

  /** Notes that `series` is used now. */
  touch(series: Retained): void {
    series.epoch = this.epoch;
    if (this.#series.has(series)) return;
    this.#series.add(series);
    series.restore();
  }

  advance(): void {
    this.epoch++;
    for (const series of this.#series) {
      if (series.busy || this.epoch - series.epoch <= PARTS) continue;
      this.#series.delete(series);
      series.forget();
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
