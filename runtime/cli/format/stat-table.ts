/** Figures as Linkerd's `viz stat` prints them (reference 8.4), with the share of mTLS and where they are from. */
import type { MtlsFigures, Stat, StatList } from "../../model/statistics.ts";
import { type Column, formatTable } from "./table.ts";

export interface StatTableOptions {
  readonly wide?: boolean;
  /** Of several namespaces. */
  readonly namespaces?: boolean;
}

const NONE = "-";

/** A table, why there is no data where there is none, and the figures' window and source. */
export function formatStats(list: StatList, options: StatTableOptions = {}): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns: Column[] = [
    ...(options.namespaces ? [{ title: "NAMESPACE" }] : []),
    { title: "NAME" },
    right("MESHED"),
    right("SUCCESS"),
    right("RPS"),
    right("LATENCY_P50"),
    right("LATENCY_P95"),
    right("LATENCY_P99"),
    right("TCP_CONN"),
    ...(options.wide ? [right("READ_BYTES/SEC"), right("WRITE_BYTES/SEC")] : []),
    right("MTLS"),
  ];
  const rows = list.items.map((stat) => rowOf(stat, options));
  const reasons = list.items.flatMap(({ name, noData }) => (noData === undefined ? [] : [`${name}: ${noData}`]));
  return [formatTable(columns, rows), ...reasons, sourceLine(list)].join("\n");
}

/** Which window, whose figures, how old. */
export function sourceLine({ window, source }: Pick<StatList, "window" | "source">): string {
  const from = source.kind === "embedded" ? "scraped by the mesh" : "from Prometheus";
  return `Window ${window}, ${from} since ${source.since}, as of ${source.asOf}.`;
}

function rowOf(stat: Stat, { wide, namespaces }: StatTableOptions): string[] {
  const { http, tcp } = stat;
  const rate = (value: number | undefined) => (value === undefined ? NONE : `${value.toFixed(1)}B/s`);
  return [
    ...(namespaces ? [stat.namespace] : []),
    stat.name,
    `${stat.meshedPods}/${stat.totalPods}`,
    http === undefined ? NONE : `${(http.successRate * 100).toFixed(2)}%`,
    http === undefined ? NONE : `${http.requestsPerSecond.toFixed(1)}rps`,
    milliseconds(http?.latencyMs.p50),
    milliseconds(http?.latencyMs.p95),
    milliseconds(http?.latencyMs.p99),
    tcp === undefined ? NONE : String(tcp.openConnections),
    ...(wide ? [rate(tcp?.readBytesPerSecond), rate(tcp?.writeBytesPerSecond)] : []),
    mtlsText(stat.mtls),
  ];
}

function milliseconds(value: number | undefined): string {
  if (value === undefined) return NONE;
  return value < 10 ? `${value.toFixed(1)}ms` : `${Math.round(value)}ms`;
}

/** `all`, `93.1%`, `none`, `unknown`. */
export function mtlsText({ state, share }: MtlsFigures): string {
  return state === "partial" && share !== undefined ? `${(share * 100).toFixed(1)}%` : state;
}

/** Linkerd's keys, absent figures as null; `mtls*` and `no_data` are Weft's own. */
export function statsJson(list: StatList): string {
  const rows = list.items.map(({ namespace, kind, name, meshedPods, totalPods, http, tcp, mtls, noData }) => ({
    namespace,
    kind: kind.toLowerCase(),
    name,
    meshed: `${meshedPods}/${totalPods}`,
    success: http?.successRate ?? null,
    rps: http?.requestsPerSecond ?? null,
    latency_ms_p50: http?.latencyMs.p50 ?? null,
    latency_ms_p95: http?.latencyMs.p95 ?? null,
    latency_ms_p99: http?.latencyMs.p99 ?? null,
    tcp_open_connections: tcp?.openConnections ?? null,
    tcp_read_bytes_rate: tcp?.readBytesPerSecond ?? null,
    tcp_write_bytes_rate: tcp?.writeBytesPerSecond ?? null,
    mtls: mtls.state,
    mtls_share: mtls.share ?? null,
    no_data: noData ?? null,
  }));
  return JSON.stringify(rows, null, 2);
}
