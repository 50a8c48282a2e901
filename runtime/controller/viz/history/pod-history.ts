/** One pod's figures over the last hour, out of its proxy's scrapes. */
import type { Workload } from "../pod-view.ts";
import { DeltaLog, type Deltas, type Span } from "./delta-log.ts";
import type { RawSeries, Scrape } from "./scrape.ts";
import type { SeriesKey } from "./series-key.ts";

/** More series of one proxy are not told apart from scrape to scrape once they have vanished. */
const MAX_RAW = 5_000;
/** Room for the values of one series in a code of the log. */
const VALUES = 32;
/** Two readings of one process' start differ by this at most. */
const START_TOLERANCE_S = 1;

interface Series {
  readonly key: SeriesKey;
  /** Open connections at the last scrape. */
  open: number;
}

interface LastValues {
  readonly values: Float64Array;
  scrape: number;
}

/** What a window holds of one series: amounts by the places of HTTP_VALUES or TCP_VALUES, and the connections open now. */
export interface SeriesWindow {
  readonly key: SeriesKey;
  readonly amounts: Float64Array;
  readonly open: number;
}

export interface PodWindow {
  /** What the scrapes in the window cover; undefined: none of them. */
  readonly span: Span | undefined;
  /** When the pod could have had traffic: since its proxy began, until now or its end. */
  readonly life: Span;
  readonly series: readonly SeriesWindow[];
}

export class PodHistory {
  readonly namespace: string;
  readonly name: string;
  workload: Workload;
  serviceAccount: string;
  /** When the last good scrape ended, on the history's clock. */
  scrapedAt: number | undefined;
  /** Why the last scrape failed; undefined: it did not. */
  failure: string | undefined;
  /** Target ports on which the proxy has seen HTTP, requests of probes included. */
  readonly httpPorts = new Set<string>();

  readonly #log = new DeltaLog();
  readonly #series: Series[] = [];
  readonly #index = new Map<SeriesKey, number>();
  /** By the fingerprint of the proxy's own series. */
  readonly #last = new Map<number, LastValues>();
  #scrapes = 0;
  #startTime: number | undefined;
  /** When the proxy's process began, on the history's clock. */
  #upSince = Number.NEGATIVE_INFINITY;

  constructor(namespace: string, name: string, workload: Workload, serviceAccount: string) {
    this.namespace = namespace;
    this.name = name;
    this.workload = workload;
    this.serviceAccount = serviceAccount;
  }

  /**
   * Takes a scrape that ended at `now`.
   * @param since what happened before it counts in no figure: when the history began
   */
  add(scrape: Scrape, now: number, since: number): void {
    this.failure = undefined;
    const upSince = scrape.uptimeSeconds === undefined ? undefined : now - scrape.uptimeSeconds * 1000;
    this.#upSince = upSince ?? this.#upSince;
    const restarted = this.#isOther(scrape.startTimeSeconds);
    if (restarted) {
      this.#last.clear();
      this.httpPorts.clear();
    }
    for (const port of scrape.httpPorts) this.httpPorts.add(port);
    const first = this.scrapedAt === undefined;
    // Of a process that is older than the history, the first scrape tells only where its counters stand.
    const counts = !first || (upSince !== undefined && upSince >= since);
    const deltas = this.#difference(scrape.series, counts);
    if (counts) {
      const began = restarted || first ? (upSince ?? this.scrapedAt ?? now) : (this.scrapedAt ?? now);
      this.#log.append(Math.min(Math.max(began, this.scrapedAt ?? since), now), now, deltas);
    }
    this.#takeOpen(scrape);
    this.scrapedAt = now;
  }

  /** @param running false: the pod is gone, and with it its connections */
  window(start: number, running = true): PodWindow {
    // Connections that were open at a scrape before the window are nobody's knowledge now.
    const knowsOpen = running && (this.scrapedAt ?? Number.NEGATIVE_INFINITY) >= start;
    const amounts = new Map<number, Float64Array>();
    const span = this.#log.read(start, (code, amount) => {
      const index = Math.floor(code / VALUES);
      let values = amounts.get(index);
      if (values === undefined) {
        values = new Float64Array(VALUES);
        amounts.set(index, values);
      }
      values[code % VALUES]! += amount;
    });
    const series: SeriesWindow[] = [];
    for (let index = 0; index < this.#series.length; index++) {
      const { key, open: last } = this.#series[index]!;
      const open = knowsOpen ? last : 0;
      const values = amounts.get(index);
      if (values !== undefined || open > 0) series.push({ key, amounts: values ?? NOTHING, open });
    }
    const life = {
      from: Math.min(this.#upSince, span?.from ?? Number.POSITIVE_INFINITY),
      to: running ? Number.POSITIVE_INFINITY : (this.scrapedAt ?? start),
    };
    return { span, life, series };
  }

  /** Does anything go from this pod to that namespace? */
  calls(namespace: string): boolean {
    return this.#series.some(({ key }) => key.destination?.namespace === namespace);
  }

  *keys(): Generator<SeriesKey> {
    for (const { key } of this.#series) yield key;
  }

  /** Bytes of the log, for metrics. */
  get bytes(): number {
    return this.#log.bytes;
  }

  #isOther(startTime: number | undefined): boolean {
    const before = this.#startTime;
    this.#startTime = startTime ?? before;
    return before !== undefined && startTime !== undefined && Math.abs(before - startTime) > START_TOLERANCE_S;
  }

  #difference(rawSeries: ReadonlyMap<number, RawSeries>, counts: boolean): Deltas {
    const deltas = new Map<number, number>();
    const scrape = ++this.#scrapes;
    for (const [fingerprint, { key, firstValue, values }] of rawSeries) {
      let last = this.#last.get(fingerprint);
      if (last === undefined) {
        last = { values: new Float64Array(values.length), scrape };
        this.#last.set(fingerprint, last);
      }
      last.scrape = scrape;
      const index = this.#indexOf(key);
      for (let place = 0; place < values.length; place++) {
        const value = values[place]!;
        const before = last.values[place]!;
        last.values[place] = value;
        // A counter that went back has begun anew.
        const amount = Math.round(value < before ? value : value - before);
        if (!counts || amount <= 0) continue;
        const code = index * VALUES + firstValue + place;
        deltas.set(code, (deltas.get(code) ?? 0) + amount);
      }
    }
    if (this.#last.size > MAX_RAW) {
      for (const [fingerprint, last] of this.#last) if (last.scrape !== scrape) this.#last.delete(fingerprint);
    }
    return deltas;
  }

  #takeOpen(scrape: Scrape): void {
    for (const series of this.#series) series.open = 0;
    for (const [key, open] of scrape.open) this.#series[this.#indexOf(key)]!.open = open;
  }

  #indexOf(key: SeriesKey): number {
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.#series.length;
      this.#series.push({ key, open: 0 });
      this.#index.set(key, index);
    }
    return index;
  }
}

const NOTHING = new Float64Array(VALUES);
