/**
 * Figures as rows and tooltips show them. Rounded so that a row changes only when something changed: every redraw of a
 * live tree costs. Knows no `vscode`.
 */
import type { HttpFigures, MtlsFigures, TcpFigures } from "../../runtime/model/statistics.ts";

/** Linkerd's own thresholds: below the first a service is poor, below the second it needs a look. */
const POOR_BELOW = 0.9;
const WARN_BELOW = 0.95;

export type Health = "good" | "warning" | "poor" | "unknown";

export function healthOf(http: HttpFigures | undefined): Health {
  if (http === undefined || http.requests === 0) return "unknown";
  if (http.successRate < POOR_BELOW) return "poor";
  return http.successRate < WARN_BELOW ? "warning" : "good";
}

/** 0…1 → `99.2%`. Rounded down: 100% means that nothing failed. */
export function formatShare(share: number): string {
  if (share >= 1) return "100%";
  const tenths = Math.floor(share * 1_000 + 1e-9);
  return `${tenths % 10 === 0 ? tenths / 10 : (tenths / 10).toFixed(1)}%`;
}

/** Requests per second: one decimal below 10, none above, thousands as `1.2k`. */
export function formatRate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return "<0.1";
  if (perSecond < 9.95) return perSecond.toFixed(1);
  if (perSecond < 999.5) return String(Math.round(perSecond));
  return `${(perSecond / 1_000).toFixed(1)}k`;
}

/** Milliseconds without their unit, two significant digits from 10 on, so that rows stay calm. */
export function formatMs(ms: number): string {
  if (ms < 1) return "<1";
  if (ms < 100) return String(Math.round(ms));
  if (ms < 1_000) return String(Math.round(ms / 10) * 10);
  return String(Math.round(ms / 100) * 100);
}

export function formatLatencies({ p50, p95, p99 }: HttpFigures["latencyMs"]): string {
  return `${formatMs(p50)}/${formatMs(p95)}/${formatMs(p99)}ms`;
}

const UNITS = ["B", "kB", "MB", "GB"] as const;

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit++;
  }
  const text = value < 9.95 && unit > 0 ? value.toFixed(1) : String(Math.round(value));
  return `${text} ${UNITS[unit]}`;
}

/** `99.2% · 12/s · 4/21/40ms`: short, a side bar is 300 pixels wide. */
export function httpText(http: HttpFigures): string {
  return `${formatShare(http.successRate)} · ${formatRate(http.requestsPerSecond)}/s · ${formatLatencies(http.latencyMs)}`;
}

/** `2 open · 1.2 kB/s in · 300 B/s out` */
export function tcpText(tcp: TcpFigures): string {
  return `${tcp.openConnections} open · ${formatBytes(tcp.readBytesPerSecond)}/s in · ${formatBytes(tcp.writeBytesPerSecond)}/s out`;
}

/** What a row says of its mTLS in words; empty where the icon says all of it. */
export function mtlsText(mtls: MtlsFigures): string {
  switch (mtls.state) {
    case "all":
      return "";
    case "partial":
      return `mTLS ${partialShare(mtls.share ?? 0)}`;
    case "none":
      return "no mTLS";
    case "unknown":
      return "mTLS ?";
  }
}

/** A share that is neither all nor nothing never reads as one of them. */
function partialShare(share: number): string {
  return share < 0.001 ? "<0.1%" : formatShare(Math.min(share, 0.999));
}

/** The same for people who hear it. */
export function mtlsWords(mtls: MtlsFigures): string {
  switch (mtls.state) {
    case "all":
      return "all traffic by mutual TLS";
    case "partial":
      return `${partialShare(mtls.share ?? 0)} of traffic by mutual TLS`;
    case "none":
      return "no traffic by mutual TLS";
    case "unknown":
      return `mutual TLS unknown${mtls.reason === undefined ? "" : `, ${mtls.reason}`}`;
  }
}

export function httpWords(http: HttpFigures): string {
  const { p50, p95, p99 } = http.latencyMs;
  return [
    `success rate ${formatShare(http.successRate)}`,
    `${formatRate(http.requestsPerSecond)} requests per second`,
    `latency P50 ${formatMs(p50)}, P95 ${formatMs(p95)}, P99 ${formatMs(p99)} milliseconds`,
  ].join(", ");
}

export function tcpWords(tcp: TcpFigures): string {
  return `${tcp.openConnections} open connections, ${formatBytes(tcp.readBytesPerSecond)} per second in, ${formatBytes(tcp.writeBytesPerSecond)} per second out`;
}

/** `<sa>.<ns>.serviceaccount.identity.…` → `sa.ns`: what differs between the identities of one mesh. */
export function shortIdentity(identity: string): string {
  const [account, namespace, kind] = identity.split(".");
  return kind === "serviceaccount" && account !== undefined && namespace !== undefined
    ? `${account}.${namespace}`
    : identity;
}

/** Local time of day of an RFC 3339 instant. */
export function timeOfDay(instant: string): string {
  const date = new Date(instant);
  return Number.isNaN(date.getTime()) ? instant : date.toTimeString().slice(0, 8);
}
