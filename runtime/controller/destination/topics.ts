/** Who wants to know of what: listeners by topic, told once for a burst of changes. */

/** Events of one rollout come in bursts: this long they are collected. */
const COLLECT_MS = 10;

export class Topics {
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #pending = new Set<string>();
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** @returns unsubscribe */
  subscribe(topic: string, listener: () => void): () => void {
    let listeners = this.#listeners.get(topic);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(topic, listeners);
    }
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(topic) === listeners) this.#listeners.delete(topic);
    };
  }

  notify(topic: string): void {
    if (!this.#listeners.has(topic)) return;
    this.#pending.add(topic);
    this.#timer ??= setTimeout(() => this.#flush(), COLLECT_MS);
  }

  /** Every topic that begins so and has a listener. */
  notifyAll(prefix: string): void {
    for (const topic of this.#listeners.keys()) if (topic.startsWith(prefix)) this.notify(topic);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#pending.clear();
  }

  #flush(): void {
    this.#timer = undefined;
    const listeners = new Set<() => void>();
    for (const topic of this.#pending) for (const listener of this.#listeners.get(topic) ?? []) listeners.add(listener);
    this.#pending.clear();
    for (const listener of listeners) {
      try {
        listener();
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}
