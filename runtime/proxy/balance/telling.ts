/** What a balancer tells of itself (reference 7.4): its endpoints, its queue, and the gate that failfast shuts. */
import type { Counter, Distribution, Labels, ProxyMetrics } from "../metrics/series.ts";

/** What is read of a balancer when somebody asks. */
export interface BalancerState {
  readonly size: number;
  /** Endpoints that could get a request now. */
  readonly ready: number;
  readonly queueLength: number;
}

const SECOND = 1_000;

export class BalancerTelling {
  readonly #counter: (name: string, more?: Labels) => Counter;
  readonly #latency: () => Distribution;
  readonly #updates = new Map<string, Counter>();
  readonly #removers: (() => void)[];
  /** When the gate opened and shut, seconds since 1970; 0: it is not so now. */
  #openAt = 0;
  #shutAt = 0;
  #queued: Counter | undefined;
  #waited: Distribution | undefined;

  /** @param labels `parent_*` and `backend_*`. @param failfastMs after so long without an endpoint the gate shuts */
  constructor(
    metrics: ProxyMetrics,
    kind: "http" | "tcp" | "tls",
    labels: Labels,
    state: BalancerState,
    failfastMs: number,
  ) {
    const base = `outbound_${kind}_balancer`;
    this.#counter = (name, more = []) => metrics.counter(`${base}_${name}`, [...more, ...labels]);
    this.#latency = () => metrics.distribution(`${base}_queue_latency_seconds`, labels);
    this.#removers = [
      metrics.gauge(`${base}_endpoints`, [["endpoint_state", "ready"], ...labels], () => state.ready),
      metrics.gauge(`${base}_endpoints`, [["endpoint_state", "pending"], ...labels], () => state.size - state.ready),
      metrics.gauge(`${base}_p2c_endpoints`, labels, () => state.size),
      metrics.gauge(`${base}_queue_length`, labels, () => state.queueLength),
      metrics.gauge(`${base}_queue_gate_timeout_seconds`, labels, () => failfastMs / SECOND),
      metrics.gauge(`${base}_queue_gate_open_time_seconds`, labels, () => this.#openAt),
      metrics.gauge(`${base}_queue_gate_shut_time_seconds`, labels, () => this.#shutAt),
    ];
    // A balancer begins with its gate open, and Linkerd's counts that.
    this.gate("open");
  }

  updated(op: "Reset" | "Add" | "Remove", endpoints = 1): void {
    let counter = this.#updates.get(op);
    if (counter === undefined) {
      counter = this.#counter("p2c_updates_total", [["op", op]]);
      this.#updates.set(op, counter);
    }
    counter.add(endpoints);
  }

  /** A request that found no endpoint at once has waited. */
  waited(milliseconds: number): void {
    this.#queued ??= this.#counter("queue_requests_total");
    this.#queued.add();
    this.#waited ??= this.#latency();
    this.#waited.record(milliseconds / SECOND);
  }

  gate(state: "open" | "shut"): void {
    const now = Date.now() / SECOND;
    this.#openAt = state === "open" ? now : 0;
    this.#shutAt = state === "shut" ? now : 0;
    this.#counter(`queue_gate_${state}_total`).add();
  }

  close(): void {
    for (const remove of this.#removers) remove();
  }
}
