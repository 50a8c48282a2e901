/** One answer of a proxy's /metrics, read as it arrives (reference 7). */
import { ExpositionParser, type SampleLabels } from "../../../prometheus/exposition-parser.ts";
import { LATENCY_BUCKETS, latencyBucket } from "../../../prometheus/latency-histogram.ts";
import { HTTP_VALUES, type SeriesKey, type SeriesKeys, TCP_VALUES } from "./series-key.ts";

/** Families that figures need; the proxy leaves the others out when asked for these. */
export const FAMILIES: readonly string[] = [
  "response_total",
  "response_latency_ms",
  "tcp_open_total",
  "tcp_open_connections",
  "tcp_read_bytes_total",
  "tcp_write_bytes_total",
  "process_start_time_seconds",
  "process_uptime_seconds_total",
];

/** A series as the proxy keeps it: some adjoining values of the series that figures know. */
export interface RawSeries {
  readonly key: SeriesKey;
  readonly firstValue: number;
  readonly values: Float64Array;
}

/** An answer with more series than this is no proxy's. */
const MAX_SERIES = 50_000;

/** Series of different families may have the same labels. */
const FAMILY = { responses: 0, latency: 1, tcp: 2 } as const;
const FAMILIES_TOLD_APART = 4;

type Read = (labels: SampleLabels, value: number) => void;

export class Scrape {
  readonly series = new Map<number, RawSeries>();
  readonly open = new Map<SeriesKey, number>();
  readonly httpPorts = new Set<string>();
  startTimeSeconds: number | undefined;
  uptimeSeconds: number | undefined;

  readonly #keys: SeriesKeys;
  readonly #parser: ExpositionParser;
  readonly #readers: ReadonlyMap<string, Read>;

  constructor(keys: SeriesKeys) {
    this.#keys = keys;
    this.#readers = new Map<string, Read>([
      ["response_total", (labels, value) => this.#response(labels, value)],
      ["response_latency_ms_bucket", (labels, value) => this.#latency(labels, value)],
      ["tcp_open_total", (labels, value) => this.#tcp(labels, value, TCP_VALUES.opened)],
      ["tcp_read_bytes_total", (labels, value) => this.#tcp(labels, value, TCP_VALUES.read)],
      ["tcp_write_bytes_total", (labels, value) => this.#tcp(labels, value, TCP_VALUES.write)],
      ["tcp_open_connections", (labels, value) => this.#connections(labels, value)],
      [
        "process_start_time_seconds",
        (_, value) => {
          this.startTimeSeconds = value;
        },
      ],
      [
        "process_uptime_seconds_total",
        (_, value) => {
          this.uptimeSeconds = value;
        },
      ],
    ]);
    this.#parser = new ExpositionParser({
      wants: (name) => this.#readers.has(name),
      sample: (name, labels, value) => this.#readers.get(name)?.(labels, value),
    });
  }

  /** @throws ExpositionError */
  push(piece: string): void {
    this.#parser.push(piece);
  }

  /** The answer is complete. @throws Error where it is none of a proxy */
  end(): void {
    this.#parser.end();
    if (this.startTimeSeconds === undefined) throw new Error("the answer holds no process_start_time_seconds");
    this.uptimeSeconds ??= Date.now() / 1000 - this.startTimeSeconds;
    for (const { firstValue, values } of this.series.values()) {
      if (firstValue !== HTTP_VALUES.firstBucket) continue;
      // Buckets are cumulative in the text.
      for (let bucket = values.length - 1; bucket > 0; bucket--) values[bucket]! -= values[bucket - 1]!;
    }
  }

  #response(labels: SampleLabels, value: number): void {
    const key = this.#http(labels);
    if (key === undefined) return;
    const failure = labels.get("classification") === "failure";
    const place = failure ? HTTP_VALUES.failure : HTTP_VALUES.success;
    this.#raw(FAMILY.responses, labels.fingerprint(), key, place, 1)[0] = value;
  }

  #latency(labels: SampleLabels, value: number): void {
    const bucket = latencyBucket(labels.get("le") ?? "");
    if (bucket === undefined) return;
    const key = this.#http(labels);
    if (key === undefined) return;
    const values = this.#raw(FAMILY.latency, labels.fingerprint("le"), key, HTTP_VALUES.firstBucket, LATENCY_BUCKETS);
    values[bucket] = value;
  }

  #http(labels: SampleLabels): SeriesKey | undefined {
    if (labels.get("direction") === "inbound") {
      const port = labels.get("target_port");
      if (port !== undefined && !this.httpPorts.has(port)) this.httpPorts.add(Buffer.from(port).toString());
      if (labels.get("route_name") === "probe") return undefined;
    }
    return this.#keys.of("http", labels);
  }

  #tcp(labels: SampleLabels, value: number, place: number): void {
    const key = this.#transport(labels);
    // The three families of one connection's series have the same labels: one raw series.
    if (key !== undefined) this.#raw(FAMILY.tcp, labels.fingerprint(), key, 0, TCP_VALUES.count)[place] = value;
  }

  #connections(labels: SampleLabels, value: number): void {
    const key = this.#transport(labels);
    if (key !== undefined) this.open.set(key, (this.open.get(key) ?? 0) + value);
  }

  /** Connections are counted at the side of the mesh: from clients inbound, to endpoints outbound. */
  #transport(labels: SampleLabels): SeriesKey | undefined {
    const side = labels.get("direction") === "inbound" ? "src" : "dst";
    return labels.get("peer") === side ? this.#keys.of("tcp", labels) : undefined;
  }

  #raw(family: number, labels: number, key: SeriesKey, firstValue: number, count: number): Float64Array {
    const fingerprint = labels * FAMILIES_TOLD_APART + family;
    let raw = this.series.get(fingerprint);
    if (raw === undefined) {
      if (this.series.size >= MAX_SERIES) throw new Error(`the answer holds more than ${MAX_SERIES} series`);
      raw = { key, firstValue, values: new Float64Array(count) };
      this.series.set(fingerprint, raw);
    }
    return raw.values;
  }
}
