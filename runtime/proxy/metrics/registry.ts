/** All metrics of a proxy: what the hot path writes into, and their text by reference 7. */
import { renderLabels } from "../../prometheus/labels.ts";
import { CounterFamily } from "./counter-family.ts";
import { describe } from "./descriptions.ts";
import { HistogramFamily } from "./histogram-family.ts";
import { HttpFamily } from "./http-family.ts";
import { Retention } from "./retention.ts";
import type { Counter, Distribution, HttpSeries, Labels, ProxyMetrics, TcpSeries } from "./series.ts";
import { TcpFamily } from "./tcp-family.ts";
import { type FamilyType, renderHead, renderSample } from "./text.ts";

/** A single figure that is read when it is asked for. */
export interface Reading {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** Rendered label pairs, without braces. Default none. */
  readonly labels?: string;
  /** undefined: not known now, the line is left out. */
  readonly value: number | undefined;
}

interface Section {
  readonly name: string;
  readonly type: FamilyType;
  readonly help: string;
  readonly lines: () => Generator<string>;
}

const SLICE_CHARACTERS = 16 * 1024;

export class MetricsRegistry implements ProxyMetrics {
  readonly #retention: Retention;
  readonly #http: HttpFamily;
  readonly #control: HttpFamily;
  readonly #tcp: TcpFamily;
  /** Of ServiceProfiles: what clients asked for, and what was sent for it. */
  readonly #route: HttpFamily;
  readonly #actualRoute: HttpFamily;
  readonly #counters = new Map<string, CounterFamily>();
  readonly #distributions = new Map<string, HistogramFamily>();
  readonly #gauges = new Map<string, Map<object, () => string>>();
  readonly #readings: (() => readonly Reading[])[] = [];

  constructor(retainIdleMs: number) {
    this.#retention = new Retention(retainIdleMs);
    this.#http = new HttpFamily(this.#retention);
    this.#control = new HttpFamily(this.#retention);
    this.#tcp = new TcpFamily(this.#retention);
    this.#route = new HttpFamily(this.#retention);
    this.#actualRoute = new HttpFamily(this.#retention);
  }

  http(labels: Labels): HttpSeries {
    return this.#http.series(labels);
  }

  tcp(labels: Labels): TcpSeries {
    return this.#tcp.series(labels);
  }

  counter(name: string, labels: Labels): Counter {
    let family = this.#counters.get(name);
    if (family === undefined) {
      family = new CounterFamily(this.#retention);
      this.#counters.set(name, family);
    }
    return family.series(labels);
  }

  /** @throws Error for a name without bounds: what no reference names is no histogram */
  distribution(name: string, labels: Labels): Distribution {
    let family = this.#distributions.get(name);
    if (family === undefined) {
      const { bounds } = describe(name);
      if (bounds === undefined) throw new Error(`${name} is no histogram`);
      family = new HistogramFamily(this.#retention, bounds);
      this.#distributions.set(name, family);
    }
    return family.series(labels);
  }

  gauge(name: string, labels: Labels, read: () => number): () => void {
    const rendered = renderLabels(labels);
    const key = {};
    let gauges = this.#gauges.get(name);
    if (gauges === undefined) {
      gauges = new Map();
      this.#gauges.set(name, gauges);
    }
    gauges.set(key, () => renderSample(name, rendered, read()));
    return () => gauges.delete(key);
  }

  route(labels: Labels): HttpSeries {
    return this.#route.series(labels);
  }

  actualRoute(labels: Labels): HttpSeries {
    return this.#actualRoute.series(labels);
  }

  /** `control_request_total` and its kin: calls to the control plane. */
  control(labels: Labels): HttpSeries {
    return this.#control.series(labels);
  }

  /** Adds figures that are read at each scrape; those of one name must follow each other. */
  read(readings: () => readonly Reading[]): void {
    this.#readings.push(readings);
  }

  /**
   * The text in pieces of some 16 KiB, each made when it is asked for, so that a long text need not be made in one turn.
   * @param families names without `_bucket`, `_sum`, `_count`; absent: all
   */
  *render(families?: ReadonlySet<string>): Generator<string> {
    let slice = "";
    for (const section of this.#sections()) {
      if (families !== undefined && !families.has(section.name)) continue;
      let head = renderHead(section.name, section.type, section.help);
      for (const line of section.lines()) {
        slice += head + line;
        head = "";
        if (slice.length < SLICE_CHARACTERS) continue;
        yield slice;
        slice = "";
      }
    }
    slice += this.#renderReadings(families);
    yield `${slice}# EOF\n`;
  }

  close(): void {
    this.#retention.close();
  }

  *#sections(): Generator<Section> {
    yield* httpSections("", this.#http, "HTTP requests", "HTTP responses");
    yield* httpSections("control_", this.#control, "calls to the control plane", "answers of the control plane");
    yield* httpSections("route_", this.#route, "HTTP requests of a route", "HTTP responses of a route");
    yield* countSections(
      "route_actual_",
      this.#actualRoute,
      "HTTP requests sent for a route",
      "HTTP responses to them",
    );
    yield* tcpSections(this.#tcp);
    for (const [name, family] of this.#counters) {
      yield section(name, "counter", describe(name).help, (own) => family.values(own));
    }
    for (const [name, gauges] of this.#gauges) yield section(name, "gauge", describe(name).help, () => lines(gauges));
    for (const [name, family] of this.#distributions) {
      yield section(name, "histogram", describe(name).help, (own) => family.values(own));
    }
  }

  #renderReadings(families: ReadonlySet<string> | undefined): string {
    let text = "";
    let last = "";
    for (const readings of this.#readings) {
      for (const { name, type, help, labels, value } of readings()) {
        if (value === undefined || (families !== undefined && !families.has(name))) continue;
        if (name !== last) text += renderHead(name, type, help);
        last = name;
        text += renderSample(name, labels ?? "", value);
      }
    }
    return text;
  }
}

function* lines(gauges: ReadonlyMap<object, () => string>): Generator<string> {
  for (const line of gauges.values()) yield line();
}

function section(name: string, type: FamilyType, help: string, lines: (name: string) => Generator<string>): Section {
  return { name, type, help, lines: () => lines(name) };
}

function* countSections(prefix: string, family: HttpFamily, requests: string, responses: string): Generator<Section> {
  yield section(`${prefix}request_total`, "counter", `Total count of ${requests}`, (name) => family.requests(name));
  yield section(`${prefix}response_total`, "counter", `Total count of ${responses}`, (name) => family.responses(name));
}

function* httpSections(prefix: string, family: HttpFamily, requests: string, responses: string): Generator<Section> {
  yield* countSections(prefix, family, requests, responses);
  yield section(
    `${prefix}response_latency_ms`,
    "histogram",
    "Elapsed times between a request's headers being received and its response stream completing",
    (name) => family.latencies(name),
  );
}

function* tcpSections(tcp: TcpFamily): Generator<Section> {
  yield section("tcp_open_total", "counter", "Total count of opened connections", (name) =>
    tcp.figure(name, "openTotal"),
  );
  yield section("tcp_open_connections", "gauge", "Number of currently-open connections", (name) =>
    tcp.figure(name, "open"),
  );
  yield section("tcp_read_bytes_total", "counter", "Total count of bytes read from peers", (name) =>
    tcp.figure(name, "readBytes"),
  );
  yield section("tcp_write_bytes_total", "counter", "Total count of bytes written to peers", (name) =>
    tcp.figure(name, "writtenBytes"),
  );
  yield section("tcp_close_total", "counter", "Total count of closed connections", (name) => tcp.closes(name));
  yield section(
    "outbound_tcp_transfer_cost_bytes_total",
    "counter",
    "The total amount of data transferred in and out of this proxy, by cost zone",
    (name) => tcp.transferCosts(name),
  );
}
