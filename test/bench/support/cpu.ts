import { readdirSync, readFileSync } from "node:fs";

/** CPU time, user and kernel, milliseconds, of a process and all its descendants that live, as the scheduler counts it. */
export function cpuMs(pid: number): number {
  return [pid, ...descendants(pid)].reduce((total, process) => total + ownCpuMs(process), 0);
}

/** Private memory (clean and dirty) and RSS, KiB, of a process and all its descendants. */
export function memoryKiB(pid: number): { private: number; rss: number } {
  const total = { private: 0, rss: 0 };
  for (const process of [pid, ...descendants(pid)]) {
    const rollup = readFileSync(`/proc/${process}/smaps_rollup`, "utf8");
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0);
    total.private += field("Private_Clean") + field("Private_Dirty");
    total.rss += field("Rss");
  }
  return total;
}

/** Nanoseconds on a processor, thread by thread: `stat` counts in ticks of 10 ms, a start-up has three of them. */
function ownCpuMs(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [ns = "0"] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ");
    total += Number(ns) / 1e6;
  }
  return total;
}

function descendants(pid: number): number[] {
  const found: number[] = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ")) {
      if (child !== "") found.push(Number(child), ...descendants(Number(child)));
    }
  }
  return found;
}
