/** Work that only the Lease's holder does: once at a time, again on a trigger, after a fault, and now and then. */
import { type Log, messageOf } from "../config/log.ts";
import type { LeaderLease } from "./leader-lease.ts";

export interface LeaderTaskOptions {
  readonly lease: Pick<LeaderLease, "holding" | "onChange">;
  readonly name: string;
  readonly run: () => Promise<void>;
  readonly everyMs: number;
  readonly log: Log;
}

/** Triggers of one moment count as one. */
const COLLECT_MS = 100;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

export class LeaderTask {
  readonly #options: LeaderTaskOptions;
  readonly #stopFollowing: () => void;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #failures = 0;
  #stopped = false;

  constructor(options: LeaderTaskOptions) {
    this.#options = options;
    this.#stopFollowing = options.lease.onChange((holding) => {
      if (holding) this.trigger();
      else clearTimeout(this.#timer);
    });
    if (options.lease.holding) this.trigger();
  }

  trigger(): void {
    if (this.#running !== undefined) this.#again = true;
    else this.#schedule(COLLECT_MS);
  }

  /** Resolves when the run under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopFollowing();
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped || !this.#options.lease.holding) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#once();
    }, delayMs);
  }

  async #once(): Promise<void> {
    const { run, name, log, lease, everyMs } = this.#options;
    this.#again = false;
    let next = everyMs;
    try {
      // The Lease may have been lost while the timer ran.
      if (lease.holding) await run();
      this.#failures = 0;
    } catch (error) {
      next = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LAST_RETRY_MS);
      this.#failures++;
      log.error(`${name} failed; next try in ${next / 1000} s`, { reason: messageOf(error) });
    }
    this.#running = undefined;
    this.#schedule(this.#again ? COLLECT_MS : next);
  }
}
