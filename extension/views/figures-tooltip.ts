/** The long form of figures: a table with its window and its source. Markdown; names from the cluster are escaped. */
import type { EdgeEnd, Stat, StatSource } from "../../runtime/model/statistics.ts";
import { formatBytes, formatMs, formatRate, formatShare, mtlsWords, timeOfDay } from "./figures.ts";

export interface TooltipFigures extends Pick<Stat, "http" | "tcp" | "mtls" | "noData"> {
  readonly meshedPods?: number;
  readonly totalPods?: number;
  /** Client and server of an edge. */
  readonly identities?: readonly [EdgeEnd, EdgeEnd];
}

export function statTooltip(title: string, figures: TooltipFigures, window: string, source: StatSource): string {
  const { http, tcp, mtls, noData, meshedPods, totalPods, identities } = figures;
  const rows: [string, string][] = [];
  if (http !== undefined) {
    const { p50, p95, p99 } = http.latencyMs;
    rows.push(
      ["Success rate", `${formatShare(http.successRate)} (${http.successes} of ${http.requests})`],
      ["Requests per second", formatRate(http.requestsPerSecond)],
      ["Latency P50", `${formatMs(p50)} ms`],
      ["Latency P95", `${formatMs(p95)} ms`],
      ["Latency P99", `${formatMs(p99)} ms`],
    );
  }
  if (tcp !== undefined)
    rows.push(
      ["Open connections", String(tcp.openConnections)],
      ["Connections in the window", String(tcp.connections)],
      ["Read", `${formatBytes(tcp.readBytesPerSecond)}/s`],
      ["Written", `${formatBytes(tcp.writeBytesPerSecond)}/s`],
    );
  if (http === undefined && tcp === undefined) rows.push(["No data", noData ?? "no reason given"]);
  rows.push(["mTLS", mtlsWords(mtls)]);
  if (meshedPods !== undefined && totalPods !== undefined) rows.push(["Meshed pods", `${meshedPods} of ${totalPods}`]);
  for (const [index, end] of (identities ?? []).entries())
    rows.push([index === 0 ? "Client identity" : "Server identity", end.identity ?? "none shown"]);
  const table = ["| | |", "|---|---|", ...rows.map(([name, value]) => `| ${name} | ${escapeMarkdown(value)} |`)];
  return [`**${escapeMarkdown(title)}**`, "", ...table, "", `_${sourceWords(window, source)}_`].join("\n");
}

/** `last 1m, scraped by the mesh since 02:13:05, newest scrape 02:20:10` */
export function sourceWords(window: string, source: StatSource): string {
  const from = source.kind === "prometheus" ? "from Prometheus" : "scraped by the mesh";
  return `last ${window}, ${from} since ${timeOfDay(source.since)}, newest scrape ${timeOfDay(source.asOf)}`;
}

export function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_[\]<>|~]/g, "\\$&").replaceAll("\n", " ");
}
