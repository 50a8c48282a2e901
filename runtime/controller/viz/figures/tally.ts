/** Adds up what series hold of a window, and makes figures of it (DESIGN, "What a figure means"). */
import type { HttpFigures, MtlsFigures, TcpFigures } from "../../../model/statistics.ts";
import { LATENCY_BUCKETS, latencyQuantile } from "../../../prometheus/latency-histogram.ts";
import type { PodWindow, SeriesWindow } from "../history/pod-history.ts";
import { HTTP_VALUES, TCP_VALUES } from "../history/series-key.ts";

/** What one pod adds to the rates. */
interface Part {
  requests: number;
  read: number;
  write: number;
}

export class Tally {
  #successes = 0;
  #failures = 0;
  #securedRequests = 0;
  readonly #latency = new Float64Array(LATENCY_BUCKETS);
  #opened = 0;
  #open = 0;
  #connections = 0;
  #securedConnections = 0;
  #from = Number.POSITIVE_INFINITY;
  #to = Number.NEGATIVE_INFINITY;
  readonly #parts = new Map<PodWindow, Part>();

  /** A pod is looked at: rates are over the time from the earliest to the latest of what is. */
  cover(pod: PodWindow): void {
    if (pod.span === undefined) return;
    this.#from = Math.min(this.#from, pod.span.from);
    this.#to = Math.max(this.#to, pod.span.to);
  }

  /** Whether anything was looked at. */
  get covered(): boolean {
    return this.#to > this.#from;
  }

  get requests(): number {
    return this.#successes + this.#failures;
  }

  /** Connections that were open in the window, without those that never said a word. */
  get connections(): number {
    return this.#connections;
  }

  add(pod: PodWindow, { key, amounts, open }: SeriesWindow): void {
    let part = this.#parts.get(pod);
    if (part === undefined) {
      part = { requests: 0, read: 0, write: 0 };
      this.#parts.set(pod, part);
    }
    if (key.protocol === "http") {
      const successes = amounts[HTTP_VALUES.success]!;
      const failures = amounts[HTTP_VALUES.failure]!;
      this.#successes += successes;
      this.#failures += failures;
      part.requests += successes + failures;
      if (key.tls) this.#securedRequests += successes + failures;
      for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
        this.#latency[bucket]! += amounts[HTTP_VALUES.firstBucket + bucket]!;
      }
      return;
    }
    const read = amounts[TCP_VALUES.read]!;
    // The kubelet's TCP probes connect and close without a byte. They come without TLS and count in no figure.
    if (key.direction === "inbound" && !key.tls && read === 0) return;
    const opened = amounts[TCP_VALUES.opened]!;
    const connections = Math.max(opened, open);
    this.#opened += opened;
    this.#open += open;
    this.#connections += connections;
    if (key.tls) this.#securedConnections += connections;
    part.read += read;
    part.write += amounts[TCP_VALUES.write]!;
  }

  http(): HttpFigures | undefined {
    const requests = this.requests;
    if (requests === 0 || !this.covered) return undefined;
    const quantile = (q: number): number => round(latencyQuantile(q, this.#latency) ?? 0, 100);
    return {
      requests,
      successes: this.#successes,
      successRate: this.#successes / requests,
      requestsPerSecond: this.#rate("requests"),
      latencyMs: { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) },
    };
  }

  tcp(): TcpFigures | undefined {
    if (this.#connections === 0 || !this.covered) return undefined;
    return {
      openConnections: this.#open,
      connections: this.#opened,
      readBytesPerSecond: this.#rate("read"),
      writeBytesPerSecond: this.#rate("write"),
    };
  }

  /** Of requests; where there was none, of connections. @param reason why there would be nothing to say */
  mtls(reason: string): MtlsFigures {
    const [secured, all] =
      this.requests > 0 ? [this.#securedRequests, this.requests] : [this.#securedConnections, this.#connections];
    if (all === 0) return { state: "unknown", reason };
    const share = secured / all;
    return { state: share === 1 ? "all" : share === 0 ? "none" : "partial", share };
  }

  /**
   * Pods are scraped at different times: what one's scrapes do not cover of the time that is looked at, though it was
   * there, it is taken to have gone on as it did.
   */
  #rate(of: keyof Part): number {
    let amount = 0;
    for (const [{ span, life }, part] of this.#parts) {
      if (span === undefined || span.to <= span.from) continue;
      const lived = Math.min(life.to, this.#to) - Math.max(life.from, this.#from);
      amount += (part[of] * lived) / (span.to - span.from);
    }
    return round((amount * 1000) / (this.#to - this.#from), 1000);
  }
}

function round(value: number, digits: number): number {
  return Math.round(value * digits) / digits;
}
