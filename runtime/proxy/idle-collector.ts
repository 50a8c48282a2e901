/**
 * Gives memory back while a proxy has nothing else to do. V8 by itself keeps what starting left behind (code that runs once) and
 * what a peak left behind, for nothing makes it look again in a process that is idle: 5 of 16 MiB after the start.
 */

/** How often it looks, milliseconds. */
const LOOK_EVERY_MS = 5_000;
/** Less CPU time than this in one interval is idleness (probes and scrapes take some): a collection stops the process for some 30 ms. */
const IDLE_CPU_MS = 10;
/** More than this since the last collection makes another worth while: less than starting takes (70). */
const WORTH_CPU_MS = 50;
/** From one collection to the next. Probes alone bring 1 MiB in a minute; a collection, and compiling anew what it flushed, costs some 60 ms. */
const REST_MS = 120_000;

export interface IdleCollectorOptions {
  /** The addon's. Default: Node's own, which is there with --expose-gc. Without either nothing is done. */
  readonly collect?: (() => void) | undefined;
  /** CPU time used so far. */
  readonly cpuMs?: () => number;
  readonly now?: () => number;
}

export class IdleCollector {
  readonly #collect: (() => void) | undefined;
  readonly #cpuMs: () => number;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout | undefined;
  #due = false;
  #seenCpuMs = 0;
  #collectedCpuMs = 0;
  #restUntil = 0;

  constructor({ collect = nodesOwn(), cpuMs = ownCpuMs, now = () => performance.now() }: IdleCollectorOptions = {}) {
    this.#collect = collect;
    this.#cpuMs = cpuMs;
    this.#now = now;
    if (collect === undefined) return;
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** What its timer calls. @returns whether it collected */
  look(): boolean {
    const cpuMs = this.#cpuMs();
    const idle = cpuMs - this.#seenCpuMs < IDLE_CPU_MS;
    this.#seenCpuMs = cpuMs;
    if (!this.#due && cpuMs - this.#collectedCpuMs > WORTH_CPU_MS && this.#now() >= this.#restUntil) {
      this.#due = true;
      this.#restUntil = this.#now() + REST_MS;
    }
    if (!idle || !this.#due) return false;
    this.#due = false;
    this.#collect?.();
    this.#seenCpuMs = this.#cpuMs();
    this.#collectedCpuMs = this.#seenCpuMs;
    return true;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function nodesOwn(): (() => void) | undefined {
  const { gc } = globalThis;
  return gc && (() => void gc({ type: "major", execution: "sync", flavor: "last-resort" }));
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
