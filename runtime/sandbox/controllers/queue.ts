/** What every controller is built on: a queue of keys, each worked on once at a time, tried again later where it failed. */
import type { InProcessApi } from "../api/in-process.ts";
import { StatusError } from "../api/status.ts";

export interface ControllerContext {
  readonly api: InProcessApi;
  readonly report: (error: unknown) => void;
}

/** A running controller. */
export interface Controller {
  stop(): void;
}

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 10_000;

export class WorkQueue {
  readonly #reconcile: (key: string) => Promise<void> | void;
  readonly #report: (error: unknown) => void;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #stopped = false;

  constructor(reconcile: (key: string) => Promise<void> | void, report: (error: unknown) => void) {
    this.#reconcile = reconcile;
    this.#report = report;
  }

  add(key: string): void {
    if (this.#stopped) return;
    if (this.#running.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    this.#waiting.add(key);
    setImmediate(() => void this.#work(key));
  }

  /** A later call for the same key replaces an earlier one only where it comes sooner. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    const present = this.#timers.get(key);
    if (present !== undefined) clearTimeout(present);
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        this.add(key);
      }, ms),
    );
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #work(key: string): Promise<void> {
    this.#waiting.delete(key);
    if (this.#stopped) return;
    this.#running.add(key);
    try {
      await this.#reconcile(key);
      this.#failures.delete(key);
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      // Conflicts and the like mend themselves.
      if (!(error instanceof StatusError)) this.#report(error);
      this.addAfter(key, Math.min(FIRST_RETRY_MS * 2 ** failures, LAST_RETRY_MS));
    } finally {
      this.#running.delete(key);
      if (this.#again.delete(key)) this.add(key);
    }
  }
}

/** `namespace/name` of an object; splits again by {@link parseKey}. */
export function parseKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf("/");
  return slash === -1
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
