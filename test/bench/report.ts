/** report.json, REPORT.md and plot.svg out of what was measured. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Beside, besideLines, readBeside } from "./beside.ts";
import { type Budget, budgets } from "./budgets.ts";
import { type LoadName, PROTOCOLS, type Protocol, TOPOLOGIES, type Topology, VARIANTS } from "./cells.ts";
import type { Report } from "./figures.ts";
import { plot } from "./plot.ts";
import type { Row } from "./rows.ts";
import { ratio } from "./statistics.ts";

export function writeReport(report: Report, folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "report.json"), `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(join(folder, "REPORT.md"), markdown(report, readBeside()));
  writeFileSync(join(folder, "plot.svg"), plot(report.rows));
}

/** CPU of a row, in whichever unit it has. */
export const cpuOf = (row: Row | undefined): number | null =>
  row?.cpuMicrosPerRequest ?? row?.cpuMillisPerMegabyte ?? null;

/** Exported for its test. */
export function markdown(report: Report, beside?: Beside): string {
  const { machine } = report;
  return `${[
    "# The proxy beside nginx and haproxy",
    `${report.date}, \`${report.command}\`, ${report.seconds} s. ${machine["processor"]}, ${machine["cores"]} cores, Linux ${machine["kernel"]}, Node ${machine["node"]}, nginx ${machine["nginx"]}, haproxy ${machine["haproxy"]}.`,
    "One run, variants in turn; medians of the runs for CPU, all samples of all runs pooled for latency. One network namespace, an iptables redirect for every variant, one worker each, keep-alive to the server, no access log, TLS 1.3 with client certificates of P-256, TLS_AES_128_GCM_SHA256, nothing resumed. Ours is the packed bundle with the flags that the injector gives it, under a scripted control plane: metrics, policy, routing and balancing on, tap compiled in and off. CPU is user and kernel time of the proxies, both together where there are two. Latency counts from when a request was due, less the same percentile of clients that dial the server itself.",
    report.hint === "none" ? "Endpoints say nothing of HTTP/2 between proxies (`--hint none`)." : "",
    "## Budgets",
    budgetTable(budgets(report)),
    ...PROTOCOLS.filter((protocol) => report.rows.some((row) => row.protocol === protocol)).map((protocol) =>
      section(report.rows, protocol),
    ),
    "![CPU of each variant, nginx = 1](plot.svg)",
    "## Beside the traffic",
    besides(report),
    beside === undefined ? "" : besideSection(beside),
  ]
    .filter((part) => part !== "")
    .join("\n\n")}\n`;
}

function budgetTable(all: readonly Budget[]): string {
  return table(
    ["what", "budget", "measured", ""],
    all.map(({ what, limit, unit, measured }) => [
      what,
      `≤ ${limit}${unit}`.replace("≤ -", "≥ "),
      measured === null ? "not measured" : `${number(Math.abs(measured))}${unit}`,
      measured === null ? "" : measured <= limit ? "met" : "**missed**",
    ]),
  );
}

function section(rows: readonly Row[], protocol: Protocol): string {
  const title = { http1: "HTTP/1.1", http2: "HTTP/2", tcp: "TCP" }[protocol];
  const own = rows.filter((row) => row.protocol === protocol);
  const lines = TOPOLOGIES.flatMap((topology) =>
    [...new Set(own.map(({ load }) => load))].flatMap((load) => linesOf(own, topology, load)),
  );
  const header = [
    "topology, load",
    "variant",
    "CPU µs a request",
    "× nginx",
    "× haproxy",
    "added p50 / p99 / p99.9 µs",
    "a second",
    "runs",
  ];
  return `## ${title}\n\n${table(header, lines)}`;
}

function linesOf(rows: readonly Row[], topology: Topology, load: LoadName): string[][] {
  const of = (variant: string): Row | undefined =>
    rows.find((row) => row.topology === topology && row.load === load && row.variant === variant);
  return VARIANTS.flatMap((variant) => {
    const row = of(variant);
    if (row === undefined) return [];
    const streamed = row.cpuMillisPerMegabyte !== null;
    const added = [row.addedP50Micros, row.addedP99Micros, row.addedP999Micros];
    return [
      [
        `${topology === "plain" ? "one hop" : "two, mTLS"}, ${load}`,
        variant,
        `${number(cpuOf(row))}${streamed ? " ms/MB" : ""}`,
        number(ratio(cpuOf(row), cpuOf(of("nginx")))),
        number(ratio(cpuOf(row), cpuOf(of("haproxy")))),
        added.every((value) => value === null) ? "–" : added.map((value) => number(value, 0)).join(" / "),
        `${number(row.perSecond, 0)}${streamed ? " MB" : ""}`,
        String(row.runs),
      ],
    ];
  });
}

function besides({ memory, startup, connections, turns, bundleBytes }: Report): string {
  const variants = VARIANTS.filter((variant) =>
    [...memory, ...startup, ...connections].some((entry) => entry.variant === variant),
  );
  const per = (name: string, value: (variant: string) => string): string[] => [name, ...variants.map(value)];
  const of = <T extends { readonly variant: string }>(entries: readonly T[], variant: string): T | undefined =>
    entries.find((entry) => entry.variant === variant);
  const mebibytes = (entry: { privateMiB: number | null; rssMiB: number | null } | null | undefined): string =>
    entry === null || entry === undefined ? "–" : `${number(entry.privateMiB, 1)} / ${number(entry.rssMiB, 1)}`;
  const lines = [
    per("memory idle, private / RSS MiB", (variant) => mebibytes(of(memory, variant)?.idle)),
    per("… with 1,000 connections of applications", (variant) => mebibytes(of(memory, variant)?.applications1000)),
    per("… with 1,000 mTLS peers", (variant) => mebibytes(of(memory, variant)?.peers1000)),
    per("… after 60 s of saturation", (variant) => mebibytes(of(memory, variant)?.saturated)),
    per("start to ready, ms (CPU ms)", (variant) => {
      const entry = of(startup, variant);
      return entry === undefined ? "–" : `${number(entry.readyMs, 0)} (${number(entry.cpuMs, 0)})`;
    }),
    per("new mTLS connections a second of CPU, both sides", (variant) =>
      number(of(connections, variant)?.perCpuSecond ?? null, 0),
    ),
  ];
  const told =
    turns === null
      ? ""
      : `Longest turn of the event loop at 2,000 requests/s: ${number(turns.longestMs)} ms of CPU, with ${turns.scrapes} scrapes of ${turns.series} series.\n\n`;
  return `${variants.length === 0 ? "" : `${table(["", ...variants], lines)}\n\n`}${told}Bundle: ${number(bundleBytes / 1024, 0)} KiB packed.`;
}

function besideSection(beside: Beside): string {
  const lines = besideLines(beside).map(({ what, weft, peer, ratio: share, limit, unit }) => [
    `${what}, two proxies, mTLS`,
    `${number(weft)} ${unit}`,
    `${number(peer)} ${unit}`,
    number(share),
    `≤ ${limit}`,
    share <= limit ? "met" : "**missed**",
  ]);
  const header = ["CPU", "weft", beside.peer, "ratio", "budget", ""];
  return `## Once, beside ${beside.peer}\n\n${beside.date}. ${beside.how}\n\n${table(header, lines)}`;
}

function table(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [row(header), row(header.map(() => "---")), ...lines.map(row)].join("\n");
}

/** Three digits that count, unless `digits` after the point are asked for. */
function number(value: number | null | undefined, digits?: number): string {
  if (value === null || value === undefined) return "–";
  return value.toFixed(digits ?? (Math.abs(value) < 10 ? 2 : 1));
}
