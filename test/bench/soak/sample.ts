/** What is looked at of one proxy at one time. */
import { readdirSync, readFileSync } from "node:fs";
import { cpuMs } from "../support/cpu.ts";

export interface ProxySample {
  /** KiB of smaps_rollup: Anonymous; Private_Clean + Private_Dirty; Rss. */
  readonly anonymousKiB: number;
  readonly privateKiB: number;
  readonly rssKiB: number;
  readonly fds: number;
  /** Since its start, of all its threads. */
  readonly cpuMs: number;
  /** Lines of /metrics that are series. */
  readonly series: number;
  /** Sums over its own series: request_total, response_total of class failure, tcp_open_connections. */
  readonly requests: number;
  readonly failures: number;
  readonly connections: number;
}

/** @param metrics text of its /metrics */
export function sampleOf(pid: number, metrics: string): ProxySample {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0);
  const lines = metrics.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const sum = (wanted: (line: string) => boolean): number =>
    lines.filter(wanted).reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  return {
    anonymousKiB: kib("Anonymous"),
    privateKiB: kib("Private_Clean") + kib("Private_Dirty"),
    rssKiB: kib("Rss"),
    fds: readdirSync(`/proc/${pid}/fd`).length,
    cpuMs: Math.round(cpuMs(pid)),
    series: lines.length,
    requests: sum((line) => line.startsWith("request_total{")),
    failures: sum((line) => line.startsWith("response_total{") && line.includes('classification="failure"')),
    connections: sum((line) => line.startsWith("tcp_open_connections{")),
  };
}
