/** How connections were understood and where routes of TLS and TCP took them (reference 7.4). Kept by what they belong to: a policy or a port. */
import type { Counter, Distribution, Labels, ProxyMetrics } from "./series.ts";

export type DetectResult = "http/1" | "http/2" | "not_http" | "read_timeout" | "error";
/** By what was detected of a connection that began in time. */
export const DETECT_RESULTS = { http1: "http/1", http2: "http/2", opaque: "not_http" } as const;
/** Why a connection of a route ended, where it did not end by itself. */
export type RouteCloseError = "" | "forbidden" | "invalid_backend" | "invalid_policy" | "unexpected";

const SECOND = 1_000;

export class ConnectionSeries {
  readonly #metrics: ProxyMetrics;
  readonly #side: "inbound" | "outbound";
  /** `parent_*` or `srv_*`. */
  readonly #labels: Labels;
  readonly #counters = new Map<string, Counter>();
  #duration: Distribution | undefined;

  constructor(metrics: ProxyMetrics, side: "inbound" | "outbound", labels: Labels) {
    this.#metrics = metrics;
    this.#side = side;
    this.#labels = labels;
  }

  /** @param tookMs from the connection's beginning */
  detected(result: DetectResult, tookMs: number): void {
    const base = `${this.#side}_tcp_detect_http`;
    this.#duration ??= this.#metrics.distribution(`${base}_duration_seconds`, this.#labels);
    this.#duration.record(tookMs / SECOND);
    this.#count(`${base}_results_total`, result, [["result", result]]);
  }

  /** @param protocol as the policy says: `http/1`, `http/2`, `detect`, `opaq`, `tls` */
  accepted(protocol: string): void {
    this.#count("outbound_tcp_protocol_connections_total", protocol, [["protocol", protocol]]);
  }

  /** @param route `route_*` */
  routeOpened(kind: "tcp" | "tls", route: Labels): void {
    this.#count(`outbound_${kind}_route_open_total`, keyOf(route), route);
  }

  routeClosed(kind: "tcp" | "tls", route: Labels, error: RouteCloseError): void {
    this.#count(`outbound_${kind}_route_close_total`, `${keyOf(route)} ${error}`, [...route, ["error", error]]);
  }

  #count(name: string, key: string, more: Labels): void {
    const known = `${name} ${key}`;
    let counter = this.#counters.get(known);
    if (counter === undefined) {
      const all = this.#side === "inbound" ? [...more, ...this.#labels] : [...this.#labels, ...more];
      counter = this.#metrics.counter(name, all);
      this.#counters.set(known, counter);
    }
    counter.add();
  }
}

function keyOf(labels: Labels): string {
  return labels.map(([, value]) => value).join(" ");
}
