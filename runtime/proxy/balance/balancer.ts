/**
 * Power of two choices over the endpoints that can be reached (reference 9.1). An endpoint that refuses connections leaves
 * the ready set for a while that doubles with each failure; one that the controller takes away gets no new work, and
 * what it is working on ends in peace.
 */
import type { ConnectBackoff } from "../config/connect-backoff.ts";
import type { BalancerParameters, Endpoint, EndpointSource } from "../outbound/target.ts";
import { Breaker } from "./breaker.ts";
import { PeakEwma } from "./peak-ewma.ts";
import type { BalancerState, BalancerTelling } from "./telling.ts";

const BACKOFF: ConnectBackoff = { minMs: 100, maxMs: 60_000, jitter: 0.1 };

/** One endpoint as the balancer knows it. `data` is whatever the user of the balancer keeps for it: its connections. */
export interface Candidate<T> {
  readonly endpoint: Endpoint;
  readonly ewma: PeakEwma;
  readonly data: T;
}

interface Entry<T> extends Candidate<T> {
  /** Monotonic milliseconds before which it is not tried again; 0 when it is well. */
  brokenUntil: number;
  failures: number;
  /** Where the policy asks for circuit breaking. */
  readonly breaker: Breaker | undefined;
}

interface Waiter<T> {
  readonly resolve: (candidate: Candidate<T> | undefined) => void;
  readonly timer: NodeJS.Timeout;
}

/** Why no endpoint could be had. */
export type Unavailable = "failfast" | "load-shed";

export interface BalancerOptions<T> {
  readonly source: EndpointSource;
  readonly parameters: BalancerParameters;
  /** Makes what is kept for a new endpoint; it tells `ewma` of its work, and `breaker`, where there is one, of its outcomes. */
  readonly open: (endpoint: Endpoint, ewma: PeakEwma, breaker: Breaker | undefined) => T;
  /** An endpoint is gone: close what is idle. */
  readonly close: (data: T) => void;
  /** Where it tells of itself; absent: nowhere. */
  readonly tell?: (state: BalancerState) => BalancerTelling;
  /** How long an endpoint that cannot be reached is left alone. Default: Linkerd's. */
  readonly backoff?: ConnectBackoff | undefined;
  readonly now?: () => number;
  readonly random?: () => number;
}

export class Balancer<T> implements BalancerState {
  readonly #options: BalancerOptions<T>;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry<T>>();
  /** The same entries, for picking by index. */
  #list: Entry<T>[] = [];
  readonly #waiting: Waiter<T>[] = [];
  readonly #unsubscribe: () => void;
  #retryTimer: NodeJS.Timeout | undefined;
  /** Nobody could be had for as long as the failfast time-out: until somebody can, everything fails at once. */
  #failfast = false;
  readonly #telling: BalancerTelling | undefined;

  constructor(options: BalancerOptions<T>) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#telling = options.tell?.(this);
    for (const endpoint of options.source.endpoints.values()) this.#add(endpoint);
    this.#telling?.updated("Reset");
    this.#unsubscribe = options.source.subscribe(({ added, removed }) => {
      for (const address of removed) this.#remove(address);
      for (const endpoint of added) this.#add(endpoint);
      if (removed.length > 0) this.#telling?.updated("Remove", removed.length);
      if (added.length > 0) {
        this.#telling?.updated("Add", added.length);
        this.#setFailfast(false);
      }
      this.#list = [...this.#entries.values()];
      this.#wake();
    });
    this.#list = [...this.#entries.values()];
  }

  /** An endpoint that is ready now, other than those in `except`; undefined when there is none. */
  pick(except?: ReadonlySet<string>): Candidate<T> | undefined {
    const list = this.#list;
    const { length } = list;
    const now = this.#now();
    if (length === 1) return usable(list[0] as Entry<T>, now, except) ? picked(list[0] as Entry<T>) : undefined;
    if (length === 0) return undefined;
    const first = Math.floor(this.#random() * length);
    let second = Math.floor(this.#random() * (length - 1));
    if (second >= first) second++;
    const a = list[first] as Entry<T>;
    const b = list[second] as Entry<T>;
    const aUsable = usable(a, now, except);
    const bUsable = usable(b, now, except);
    if (aUsable && bUsable) return picked(b.ewma.load(now) < a.ewma.load(now) ? b : a);
    if (aUsable || bUsable) return picked(aUsable ? a : b);
    return this.#pickAmong(
      list.filter((entry) => usable(entry, now, except)),
      now,
    );
  }

  #pickAmong(ready: Entry<T>[], now: number): Entry<T> | undefined {
    if (ready.length === 0) return undefined;
    if (ready.length === 1) return picked(ready[0] as Entry<T>);
    const a = ready[Math.floor(this.#random() * ready.length)] as Entry<T>;
    const b = ready[Math.floor(this.#random() * ready.length)] as Entry<T>;
    return picked(b.ewma.load(now) < a.ewma.load(now) ? b : a);
  }

  /**
   * As pick, but waits in the queue while there is none, up to the failfast time-out.
   * @param waitedMs how long the caller has waited before
   */
  async acquire(waitedMs = 0): Promise<Candidate<T> | Unavailable> {
    const { queueCapacity, failfastTimeoutMs } = this.#options.parameters;
    const left = failfastTimeoutMs - waitedMs;
    if (left <= 0) {
      // It has had its time. Others may do better while somebody is ready.
      if (this.ready === 0) this.#failFast();
      return "failfast";
    }
    const ready = this.pick();
    if (ready !== undefined) return ready;
    if (this.#failfast) return "failfast";
    if (this.#waiting.length >= queueCapacity) return "load-shed";
    this.#scheduleRetry();
    const began = this.#now();
    const candidate = await new Promise<Candidate<T> | undefined>((resolve) => {
      const timer = setTimeout(() => this.#failFast(), left);
      this.#waiting.push({ resolve, timer });
    });
    this.#telling?.waited(this.#now() - began);
    return candidate ?? "failfast";
  }

  /** The endpoint could not be reached: it gets no work for a while. */
  failed(endpoint: Endpoint): void {
    const entry = this.#entries.get(endpoint.address);
    // Many requests may fail together: it is one failure.
    if (entry?.endpoint !== endpoint || entry.brokenUntil > this.#now()) return;
    const { minMs, maxMs, jitter } = this.#options.backoff ?? BACKOFF;
    const backoff = Math.min(maxMs, minMs * 2 ** entry.failures);
    entry.failures++;
    entry.brokenUntil = this.#now() + backoff * (1 + jitter * this.#random());
  }

  /** The endpoint could be reached. */
  succeeded(endpoint: Endpoint): void {
    this.#setFailfast(false);
    const entry = this.#entries.get(endpoint.address);
    if (entry === undefined || entry.failures === 0) return;
    entry.failures = 0;
    entry.brokenUntil = 0;
    this.#wake();
  }

  forEach(visit: (data: T) => void): void {
    for (const { data } of this.#list) visit(data);
  }

  get size(): number {
    return this.#list.length;
  }

  get ready(): number {
    const now = this.#now();
    return this.#list.filter((entry) => usable(entry, now, undefined)).length;
  }

  get queueLength(): number {
    return this.#waiting.length;
  }

  /** For too long nobody could be had: whoever waits fails now, and whoever comes fails at once, until somebody can. */
  #failFast(): void {
    this.#setFailfast(true);
    this.#dismiss();
  }

  #dismiss(): void {
    for (const { resolve, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      resolve(undefined);
    }
  }

  #setFailfast(failfast: boolean): void {
    if (this.#failfast === failfast) return;
    this.#failfast = failfast;
    this.#telling?.gate(failfast ? "shut" : "open");
  }

  close(): void {
    this.#telling?.close();
    this.#unsubscribe();
    clearTimeout(this.#retryTimer);
    this.#dismiss();
    for (const entry of this.#entries.values()) this.#options.close(entry.data);
    this.#entries.clear();
    this.#list = [];
  }

  #add(endpoint: Endpoint): void {
    const known = this.#entries.get(endpoint.address);
    if (known !== undefined) {
      if (sameEndpoint(known.endpoint, endpoint)) return;
      this.#options.close(known.data);
    }
    const { defaultRttMs, decayMs } = this.#options.parameters;
    const ewma = known?.ewma ?? new PeakEwma(defaultRttMs, decayMs, this.#now());
    const breaker = known?.breaker ?? this.#newBreaker();
    this.#entries.set(endpoint.address, {
      endpoint,
      ewma,
      breaker,
      data: this.#options.open(endpoint, ewma, breaker),
      brokenUntil: 0,
      failures: 0,
    });
  }

  #newBreaker(): Breaker | undefined {
    const { accrual } = this.#options.parameters;
    if (accrual === undefined) return undefined;
    const mayOpen = (): boolean => {
      const now = this.#now();
      return (
        accrual.minReady === 0 || this.#list.filter((entry) => usable(entry, now, undefined)).length > accrual.minReady
      );
    };
    return new Breaker(accrual, mayOpen, this.#random);
  }

  #remove(address: string): void {
    const entry = this.#entries.get(address);
    if (entry === undefined) return;
    this.#entries.delete(address);
    this.#options.close(entry.data);
  }

  #wake(): void {
    while (this.#waiting.length > 0) {
      const candidate = this.pick();
      if (candidate === undefined) {
        this.#scheduleRetry();
        return;
      }
      const waiter = this.#waiting.shift() as Waiter<T>;
      clearTimeout(waiter.timer);
      waiter.resolve(candidate);
    }
  }

  /** Those who wait are woken when the first broken endpoint may be tried again. */
  #scheduleRetry(): void {
    if (this.#retryTimer !== undefined || this.#list.length === 0) return;
    const next = Math.min(
      ...this.#list.map(({ brokenUntil, breaker }) => Math.max(brokenUntil, breaker?.openUntil ?? 0)),
    );
    this.#retryTimer = setTimeout(
      () => {
        this.#retryTimer = undefined;
        this.#wake();
      },
      Math.max(10, next - this.#now()),
    );
  }
}

function picked<T>(entry: Entry<T>): Entry<T> {
  entry.breaker?.picked();
  return entry;
}

function usable<T>(entry: Entry<T>, now: number, except: ReadonlySet<string> | undefined): boolean {
  if (entry.breaker !== undefined && !entry.breaker.usable(now)) return false;
  return entry.brokenUntil <= now && !(except?.has(entry.endpoint.address) ?? false);
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.proxyPort === b.proxyPort &&
    a.protocolHint === b.protocolHint &&
    a.http2 === b.http2 &&
    a.tls?.identity === b.tls?.identity &&
    a.tls?.serverName === b.tls?.serverName &&
    a.labels.length === b.labels.length &&
    a.labels.every(([name, value], index) => b.labels[index]?.[0] === name && b.labels[index]?.[1] === value)
  );
}
