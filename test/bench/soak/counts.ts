/** What the load tells of itself, over its whole life so far. */

/** `requests` are HTTP's; `connections` are TCP connections of applications, opened so far, whatever they carry. */
export interface LoadCounts {
  readonly http1: Outcomes;
  readonly http2: Outcomes;
  readonly tcp: Outcomes;
  readonly connections: number;
  /** Requests that were due and not sent, because the load itself was held up. */
  readonly skipped: number;
  /** The last failures, in words. */
  readonly problems: readonly string[];
}

export interface Outcomes {
  /** Answered whole, and byte by byte what was expected. */
  readonly done: number;
  /** Given up by the load on purpose, half way. */
  readonly cancelled: number;
  readonly failed: number;
}

/** Requests a second, connections a second. */
export interface LoadRates {
  readonly http1: number;
  readonly http2: number;
  readonly tcp: number;
}

const KEPT_PROBLEMS = 40;

export class Tally implements Outcomes {
  done = 0;
  cancelled = 0;
  failed = 0;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  fail(why: string): void {
    this.failed++;
    if (problems.length === KEPT_PROBLEMS) problems.shift();
    problems.push(`${new Date().toISOString()} ${this.#name}: ${why}`);
  }

  get outcomes(): Outcomes {
    return { done: this.done, cancelled: this.cancelled, failed: this.failed };
  }
}

export const problems: string[] = [];
