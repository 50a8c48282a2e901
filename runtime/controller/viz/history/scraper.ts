/**
 * Scrapes the mesh's proxies in rounds: what somebody watches in each round, the others now and then, so many in a second
 * at most that the process stays idle most of the time.
 */
import type { Log } from "../../config/log.ts";
import { isLive, type PodView, podKey } from "../pod-view.ts";
import type { Topology } from "../topology.ts";
import { History } from "./history.ts";
import { scrapePod } from "./scrape-pod.ts";

const ROUND_MS = 2_000;
const BASELINE_MS = 10_000;
/** With more pods than this allows at BASELINE_MS, those that nobody watches come round more seldom. */
const MAX_BASELINE_PER_ROUND = 200;
/** The same for pods that somebody watches: a scrape takes about half a millisecond. */
const MAX_WATCHED_PER_ROUND = 600;
const MAX_AT_ONCE = 64;
const TIMEOUT_MS = 4_000;
/** A round that somebody watches is over when its scrapes have ended, or after this long. */
const ROUND_PATIENCE_MS = 1_000;
/** Who asks again within this time watches. */
const INTEREST_MS = 15_000;
const MAX_PAUSE_MS = 60_000;
const PRUNE_EVERY_MS = 60_000;

/** Namespaces, or all of them. */
export const ALL_NAMESPACES = "";

interface Target {
  dueAt: number;
  failures: number;
  running: boolean;
}

interface Due {
  readonly pod: PodView;
  readonly dueAt: number;
}

function longestDue(due: Due[], limit: number): PodView[] {
  return due
    .sort((a, b) => a.dueAt - b.dueAt)
    .slice(0, limit)
    .map(({ pod }) => pod);
}

export interface ScraperOptions {
  readonly topology: Topology;
  /** Only proxies of this mesh are scraped. */
  readonly mesh: string;
  readonly log: Log;
}

export class Scraper {
  readonly history = new History();

  readonly #options: ScraperOptions;
  readonly #targets = new Map<string, Target>();
  readonly #interest = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  readonly #stopping = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #inRound = false;
  #prunedAt = performance.now();
  readonly counts = { succeeded: 0, failed: 0 };

  constructor(options: ScraperOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#round(), ROUND_MS);
    void this.#round();
  }

  /** Somebody looks at this namespace: its pods, and those that call them, are scraped in each round for a while. */
  watch(namespace: string): void {
    const fresh = !this.#isWatched(namespace);
    this.#interest.set(namespace, performance.now() + INTEREST_MS);
    if (fresh) void this.#round();
  }

  /** Called after each round, and when it ends. */
  onRound(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ended together with what it scraped. */
  stop(): void {
    clearInterval(this.#timer);
    this.#stopping.abort();
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  async #round(): Promise<void> {
    if (this.#inRound || this.#stopping.signal.aborted) return;
    this.#inRound = true;
    try {
      const scrapes = this.#due().map((pod) => this.#scrape(pod));
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ROUND_PATIENCE_MS);
      });
      await Promise.race([Promise.all(scrapes), patience]);
      clearTimeout(timer);
    } finally {
      this.#inRound = false;
    }
    this.#prune();
    for (const listener of this.#listeners) listener();
  }

  #due(): PodView[] {
    const { topology, mesh } = this.#options;
    const now = performance.now();
    const watched: Due[] = [];
    const others: Due[] = [];
    for (const [namespace, until] of this.#interest) if (until < now) this.#interest.delete(namespace);
    for (const pod of topology.pods.store.values()) {
      if (pod.mesh !== mesh || pod.ip === undefined || !isLive(pod) || pod.phase !== "Running") continue;
      const key = podKey(pod);
      let target = this.#targets.get(key);
      if (target === undefined) {
        target = { dueAt: 0, failures: 0, running: false };
        this.#targets.set(key, target);
      }
      if (target.running) continue;
      // A proxy that did not answer is left alone for a while, watched or not.
      if (this.#concerns(pod, key) && (target.failures === 0 || target.dueAt <= now))
        watched.push({ pod, dueAt: target.dueAt });
      else if (target.dueAt <= now) others.push({ pod, dueAt: target.dueAt });
    }
    return [...longestDue(watched, MAX_WATCHED_PER_ROUND), ...longestDue(others, MAX_BASELINE_PER_ROUND)];
  }

  #concerns(pod: PodView, key: string): boolean {
    if (this.#interest.size === 0) return false;
    if (this.#isWatched(ALL_NAMESPACES) || this.#isWatched(pod.metadata.namespace ?? "")) return true;
    const history = this.history.get(key);
    if (history === undefined) return false;
    for (const namespace of this.#interest.keys()) if (history.calls(namespace)) return true;
    return false;
  }

  #isWatched(namespace: string): boolean {
    return (this.#interest.get(namespace) ?? 0) > performance.now();
  }

  async #scrape(pod: PodView): Promise<void> {
    const target = this.#targets.get(podKey(pod));
    if (target === undefined || pod.ip === undefined) return;
    target.running = true;
    const release = await this.#slot();
    try {
      if (this.#stopping.signal.aborted) return;
      const scrape = await scrapePod(pod.ip, this.history.keys, {
        timeoutMs: TIMEOUT_MS,
        signal: this.#stopping.signal,
      });
      this.history.add(pod, scrape);
      target.failures = 0;
      this.counts.succeeded++;
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      target.failures++;
      this.counts.failed++;
      const reason = error instanceof Error ? error.message : String(error);
      this.history.fail(pod, reason);
      // A pod that starts or ends refuses now and then; one that keeps refusing is told of.
      if (target.failures === 3) this.#options.log.warn("a proxy cannot be scraped", { pod: podKey(pod), reason });
    } finally {
      release();
      target.running = false;
      const pause = target.failures === 0 ? BASELINE_MS : Math.min(ROUND_MS * 2 ** target.failures, MAX_PAUSE_MS);
      // Spread over the rounds, so that they stay even.
      target.dueAt = performance.now() + pause * (0.9 + Math.random() * 0.1);
    }
  }

  async #slot(): Promise<() => void> {
    if (this.#running >= MAX_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    return () => {
      this.#running--;
      this.#waiting.shift()?.();
    };
  }

  #prune(): void {
    const now = performance.now();
    if (now - this.#prunedAt < PRUNE_EVERY_MS) return;
    this.#prunedAt = now;
    const { topology } = this.#options;
    for (const [key, { running }] of this.#targets) {
      if (!running && !topology.pods.store.has(key)) this.#targets.delete(key);
    }
    this.history.prune((key) => topology.pods.store.has(key));
    topology.membership.prune((key) => this.history.has(key));
  }
}
