/** SOAK.md and soak.json. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { median } from "../statistics.ts";
import type { LoadRates } from "./counts.ts";
import { SIDES, type Side } from "./ground.ts";
import type { ProxySample } from "./sample.ts";
import { type Check, growthOf, type SoakSample, type Watched } from "./verdict.ts";

export interface SoakReport {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly kernel: string;
    readonly node: string;
  };
  /** How long the load went. */
  readonly seconds: number;
  readonly rates: LoadRates;
  readonly leafLifeMinutes: number;
  readonly checks: readonly Check[];
  readonly quiet: {
    readonly before: Readonly<Record<Side, ProxySample>>;
    readonly after: Readonly<Record<Side, ProxySample>>;
  };
  readonly samples: readonly SoakSample[];
}

const ROW_S = 300;
const mib = (kib: number): string => (kib / 1_024).toFixed(1);

export function writeSoak(report: SoakReport, folder: string): void {
  writeFileSync(join(folder, "soak.json"), `${JSON.stringify(report)}\n`);
  writeFileSync(join(folder, "SOAK.md"), markdown(report));
}

function markdown(report: SoakReport): string {
  const { samples, seconds, checks, rates, machine, quiet } = report;
  const passed = checks.every((check) => check.passed);
  const last = samples.at(-1)?.load;
  const lines = [
    "# Soak",
    "",
    `\`${report.command}\` at ${report.commit}, ${report.date}, ${Math.round(seconds / 60)} minutes, ${machine.processor}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}.`,
    "",
    `Clients → outbound proxy = mTLS = inbound proxy → nginx, nghttpd and Node. ${rates.http1} requests/s over HTTP/1, ${rates.http2} over HTTP/2, ${rates.tcp} TCP connections/s; of HTTP 2 % downloads and 2 % echoes of 64 KiB, 4 % small echoes, 2 % given up half way;`,
    `of TCP one in six reset. ${last === undefined ? "" : `${(last.connections / seconds).toFixed(1)} new connections/s of applications. `}The proxies' leaves live ${report.leafLifeMinutes} minutes and are renewed at 70 % of that. Others used the machine meanwhile, or not: CPU is no result here.`,
    "",
    `**${passed ? "Flat, and nothing failed" : "Not passed"}.**`,
    "",
    "| check | | |",
    "| --- | --- | --- |",
    ...checks.map(({ what, passed: well, why }) => `| ${what} | ${well ? "passed" : "FAILED"} | ${why} |`),
    "",
    "Flat: the median of the last sixth is not more than 3 % or 1 MiB (fds: 5 % or 8; series: 5) above the median of the second sixth; why so: `soak/verdict.ts`. Slopes (Theil–Sen, from the second sixth on), an hour:",
    "",
    ...SIDES.map((side) => {
      const anHour = (figure: Watched): number => growthOf(samples, seconds, side, figure).anHour;
      return `- ${side}: anonymous ${mib(anHour("anonymousKiB"))} MiB, RSS ${mib(anHour("rssKiB"))} MiB, fds ${anHour("fds").toFixed(1)}, series ${anHour("series").toFixed(1)}`;
    }),
    "",
  ];
  for (const side of SIDES) lines.push(`## ${side}`, "", ...table(report, side), "");
  lines.push("## Quiet: before the load, and when it is over", "", "| | anonymous MiB | RSS MiB | fds | series |");
  lines.push("| --- | --- | --- | --- | --- |");
  for (const side of SIDES)
    for (const [when, sample] of [
      ["before", quiet.before[side]],
      ["after", quiet.after[side]],
    ] as const)
      lines.push(
        `| ${side}, ${when} | ${mib(sample.anonymousKiB)} | ${mib(sample.rssKiB)} | ${sample.fds} | ${sample.series} |`,
      );
  lines.push("", "## The load", "", "| | done | given up | failed |", "| --- | --- | --- | --- |");
  if (last !== undefined) {
    for (const [name, one] of [
      ["HTTP/1", last.http1],
      ["HTTP/2", last.http2],
      ["TCP", last.tcp],
    ] as const)
      lines.push(`| ${name} | ${one.done} | ${one.cancelled} | ${one.failed} |`);
    lines.push("", `Not sent, because the load was held up: ${last.skipped}.`);
    if (last.problems.length > 0) lines.push("", "The last failures:", "", ...last.problems.map((line) => `- ${line}`));
  }
  return `${lines.join("\n")}\n`;
}

/** Medians of five minutes each; what counts up, over those minutes. */
function table({ samples, seconds }: SoakReport, side: Side): string[] {
  const lines = [
    "| minutes | anonymous MiB | RSS MiB | fds | open connections | series | requests | failures | CPU % |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (let from = 0; from < seconds; from += ROW_S) {
    const of = samples.filter(({ at }) => at > from && at <= from + ROW_S + 1).map(({ proxies }) => proxies[side]);
    const [first, last] = [of[0], of.at(-1)];
    if (first === undefined || last === undefined) continue;
    const middle = (figure: keyof ProxySample): number => median(of.map((sample) => sample[figure]));
    const times = samples.filter(({ at }) => at > from && at <= from + ROW_S + 1).map(({ at }) => at);
    const span = (times.at(-1) ?? 0) - (times[0] ?? 0);
    const cpu = span > 0 ? ((last.cpuMs - first.cpuMs) / span / 10).toFixed(1) : "";
    lines.push(
      `| ${from / 60}–${Math.min(from + ROW_S, Math.round(seconds)) / 60} | ${mib(middle("anonymousKiB"))} | ${mib(middle("rssKiB"))} | ${middle("fds")} | ${middle("connections")} | ${middle("series")} | ${last.requests - first.requests} | ${last.failures - first.failures} | ${cpu} |`,
    );
  }
  return lines;
}
