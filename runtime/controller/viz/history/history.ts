/** The figures of all pods since this replica began to scrape. */
import { keyOf, type PodView, podKey } from "../pod-view.ts";
import { PodHistory, type PodWindow } from "./pod-history.ts";
import type { Scrape } from "./scrape.ts";
import { type SeriesKey, SeriesKeys } from "./series-key.ts";

/** A pod that is gone counts in windows for as long as they may reach back. */
const KEEP_GONE_MS = 3_660_000;

/** The streams of one view ask for the same window at the same moment: what they read of the pods is shared this long. */
const SHARED_MS = 1_000;

/** What pods' logs hold of one window, read when it is first needed. */
export interface SharedWindow {
  /** On the clock of performance.now(). */
  readonly start: number;
  readonly pods: Map<PodHistory, PodWindow>;
}

export class History {
  /** When it began, milliseconds of performance.now(). */
  readonly since = performance.now();
  /** The same moment by the wall clock. */
  readonly startedAt = Date.now();
  readonly keys = new SeriesKeys();
  readonly #pods = new Map<string, PodHistory>();
  /** `<kind>/<namespace>/<name>` of the workload → keys of pods with figures. */
  readonly #byWorkload = new Map<string, Set<string>>();

  readonly #windows = new Map<number, SharedWindow & { readonly madeAt: number }>();

  get size(): number {
    return this.#pods.size;
  }

  /** The last `windowMs`. */
  window(windowMs: number, now = performance.now()): SharedWindow {
    for (const [of, { madeAt }] of this.#windows) if (now - madeAt > SHARED_MS) this.#windows.delete(of);
    let window = this.#windows.get(windowMs);
    if (window === undefined) {
      window = { start: now - windowMs, pods: new Map(), madeAt: now };
      this.#windows.set(windowMs, window);
    }
    return window;
  }

  get(pod: string): PodHistory | undefined {
    return this.#pods.get(pod);
  }

  has(pod: string): boolean {
    return this.#pods.has(pod);
  }

  all(): IterableIterator<PodHistory> {
    return this.#pods.values();
  }

  /** Keys of the pods of a workload that have figures, those of pods that are gone included. */
  ofWorkload(kind: string, namespace: string, name: string): ReadonlySet<string> {
    return this.#byWorkload.get(`${kind}/${keyOf(namespace, name)}`) ?? NONE;
  }

  add(pod: PodView, scrape: Scrape, now = performance.now()): void {
    this.#of(pod).add(scrape, now, this.since);
    this.#windows.clear();
  }

  fail(pod: PodView, reason: string): void {
    this.#of(pod).failure = reason;
  }

  /** Newest scrape of all, on the same clock. */
  get scrapedAt(): number | undefined {
    let newest: number | undefined;
    for (const { scrapedAt } of this.#pods.values()) {
      if (scrapedAt !== undefined && (newest === undefined || scrapedAt > newest)) newest = scrapedAt;
    }
    return newest;
  }

  /** Forgets pods that have been gone for longer than any window. */
  prune(isThere: (pod: string) => boolean, now = performance.now()): void {
    const used = new Set<SeriesKey>();
    for (const [key, history] of this.#pods) {
      if (!isThere(key) && now - (history.scrapedAt ?? Number.NEGATIVE_INFINITY) > KEEP_GONE_MS) {
        this.#pods.delete(key);
        this.#unindex(key, history);
      } else {
        for (const series of history.keys()) used.add(series);
      }
    }
    this.keys.prune(used);
  }

  #of(pod: PodView): PodHistory {
    const key = podKey(pod);
    const present = this.#pods.get(key);
    if (present !== undefined) {
      // A name used again: by another pod of a StatefulSet, or of another owner.
      this.#unindex(key, present);
      present.workload = pod.workload;
      present.serviceAccount = pod.serviceAccount;
      this.#index(key, present);
      return present;
    }
    const made = new PodHistory(pod.metadata.namespace ?? "", pod.metadata.name, pod.workload, pod.serviceAccount);
    this.#pods.set(key, made);
    this.#index(key, made);
    return made;
  }

  #index(key: string, { namespace, workload }: PodHistory): void {
    const of = `${workload.kind}/${keyOf(namespace, workload.name)}`;
    const pods = this.#byWorkload.get(of) ?? new Set();
    pods.add(key);
    this.#byWorkload.set(of, pods);
  }

  #unindex(key: string, { namespace, workload }: PodHistory): void {
    const of = `${workload.kind}/${keyOf(namespace, workload.name)}`;
    const pods = this.#byWorkload.get(of);
    pods?.delete(key);
    if (pods?.size === 0) this.#byWorkload.delete(of);
  }
}

const NONE: ReadonlySet<string> = new Set();
