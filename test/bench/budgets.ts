/** What the proxy may cost, beside what it costs. */
import type { LoadName, Protocol, Topology, Variant } from "./cells.ts";
import type { Report } from "./figures.ts";
import type { Row } from "./rows.ts";
import { ratio } from "./statistics.ts";

export interface Budget {
  readonly what: string;
  /** At most; a limit below 0 says "at least", and so does what was measured. */
  readonly limit: number;
  readonly unit: string;
  /** null: not measured in this run. */
  readonly measured: number | null;
}

type Figure = "cpu" | "addedP50Micros" | "addedP99Micros";

export function budgets(
  report: Pick<Report, "rows" | "memory" | "startup" | "connections" | "turns" | "bundleBytes">,
): Budget[] {
  const { rows } = report;
  const own = <T extends { readonly variant: Variant }>(
    entries: readonly T[],
    variant: Variant = "weft",
  ): T | undefined => entries.find((entry) => entry.variant === variant);
  const against = (
    what: string,
    limit: number,
    [protocol, topology, load]: readonly [Protocol, Topology, LoadName],
    peer: "nginx" | "haproxy",
    figure: Figure = "cpu",
  ): Budget => {
    const of = (variant: Variant): number | null => value(find(rows, protocol, topology, load, variant), figure);
    return { what, limit, unit: ` × ${peer}`, measured: ratio(of("weft"), of(peer)) };
  };
  const memory = own(report.memory);
  const startup = own(report.startup);
  const handshakes = ratio(own(report.connections)?.perCpuSecond, own(report.connections, "nginx")?.perCpuSecond);
  const absolute = (what: string, limit: number, unit: string, measured: number | null | undefined): Budget => ({
    what,
    limit,
    unit,
    measured: measured ?? null,
  });
  return [
    against("CPU, HTTP/1.1, one hop", 1.3, ["http1", "plain", "saturation"], "nginx"),
    against("CPU, HTTP/1.1, two proxies, mTLS", 0.8, ["http1", "mtls", "saturation"], "nginx"),
    against("CPU, HTTP/2 of 8 × 10, two proxies, mTLS", 0.45, ["http2", "mtls", "saturation"], "haproxy"),
    against("CPU, HTTP/2 of 32 × 1, two proxies, mTLS", 0.6, ["http2", "mtls", "saturation-32x1"], "haproxy"),
    against("CPU, TCP, two proxies, mTLS", 1, ["tcp", "mtls", "saturation"], "nginx"),
    against("latency added p50, HTTP/1.1, mTLS, 2,000/s", 1.1, ["http1", "mtls", "2000"], "nginx", "addedP50Micros"),
    against("latency added p99, HTTP/1.1, mTLS, 2,000/s", 1.3, ["http1", "mtls", "2000"], "nginx", "addedP99Micros"),
    {
      what: "new mTLS connections a second of CPU",
      limit: -0.5,
      unit: " × nginx",
      measured: handshakes === null ? null : -handshakes,
    },
    absolute(
      "memory idle, private, this machine (the budget is of the container's rss)",
      12,
      " MiB",
      memory?.idle.privateMiB,
    ),
    absolute("memory, 1,000 connections of applications", 18, " MiB", memory?.applications1000.privateMiB),
    absolute("memory, 1,000 mTLS peers", 85, " MiB", memory?.peers1000.privateMiB),
    absolute("memory after 60 s at saturation", 24, " MiB", memory?.saturated?.privateMiB),
    absolute("start to ready", 150, " ms", startup?.readyMs),
    absolute("start to ready, CPU", 100, " ms", startup?.cpuMs),
    absolute("longest turn of the loop at 2,000 requests/s", 5, " ms", report.turns?.longestMs),
    absolute("bundle, packed", 250, " KiB", report.bundleBytes / 1024),
  ];
}

export function find(
  rows: readonly Row[],
  protocol: Protocol,
  topology: Topology,
  load: LoadName,
  variant: Variant,
): Row | undefined {
  return rows.find(
    (row) => row.protocol === protocol && row.topology === topology && row.load === load && row.variant === variant,
  );
}

function value(row: Row | undefined, figure: Figure): number | null {
  if (row === undefined) return null;
  return figure === "cpu" ? (row.cpuMicrosPerRequest ?? row.cpuMillisPerMegabyte) : row[figure];
}
