/** `process_*` and `proxy_build_info` (reference 7.4), from /proc where it exists. */
import { readdirSync, readFileSync } from "node:fs";
import type { Reading } from "./registry.ts";

const STARTED_AT_S = (performance.timeOrigin / 1000) | 0;

/** @param version of the proxy */
export function processReadings(version: string): () => readonly Reading[] {
  const maxFds = readOpenFilesLimit();
  return () => {
    const { user, system } = process.cpuUsage();
    const [virtualBytes, threads] = readStatus();
    const network = readNetwork();
    return [
      gauge("process_start_time_seconds", "Time that the process started (in seconds since the epoch)", STARTED_AT_S),
      gauge("process_clock_time_seconds", "Current system time (in seconds since the epoch)", Date.now() / 1000),
      counter("process_uptime_seconds_total", "Total time since the process started (in seconds)", process.uptime()),
      counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds", (user + system) / 1e6),
      gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", virtualBytes),
      gauge("process_resident_memory_bytes", "Resident memory size in bytes", process.memoryUsage.rss()),
      gauge("process_open_fds", "Number of open file descriptors", countOpenFiles()),
      gauge("process_max_fds", "Maximum number of open file descriptors", maxFds),
      gauge("process_threads", "Number of OS threads in the process", threads),
      counter("process_network_receive_bytes_total", "Bytes received by the pod's network", network?.received),
      counter("process_network_transmit_bytes_total", "Bytes sent by the pod's network", network?.sent),
      {
        ...gauge("proxy_build_info", "Proxy build info", 1),
        labels: `date="",git_sha="",profile="release",vendor="weft",version="${version}"`,
      },
    ];
  };
}

function gauge(name: string, help: string, value: number | undefined): Reading {
  return { name, type: "gauge", help, value };
}

function counter(name: string, help: string, value: number | undefined): Reading {
  return { name, type: "counter", help, value };
}

/** @returns virtual memory in bytes, and threads */
function readStatus(): [virtualBytes: number | undefined, threads: number | undefined] {
  const text = readProc("/proc/self/status");
  const kibibytes = numberAfter(text, /^VmSize:\s+(\d+)/m);
  return [kibibytes === undefined ? undefined : kibibytes * 1024, numberAfter(text, /^Threads:\s+(\d+)/m)];
}

function numberAfter(text: string, pattern: RegExp): number | undefined {
  const digits = pattern.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function readOpenFilesLimit(): number | undefined {
  return numberAfter(readProc("/proc/self/limits"), /^Max open files\s+(\d+)/m);
}

function countOpenFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}

/** Sums over all interfaces but loopback. */
function readNetwork(): { received: number; sent: number } | undefined {
  const rows = readProc("/proc/self/net/dev").matchAll(/^\s*([^\s:]+):\s*(\d+)(?:\s+\d+){7}\s+(\d+)/gm);
  const sum = { received: 0, sent: 0 };
  let any = false;
  for (const [, name, received, sent] of rows) {
    any = true;
    if (name === "lo") continue;
    sum.received += Number(received);
    sum.sent += Number(sent);
  }
  return any ? sum : undefined;
}

/** Empty where there is no /proc. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
