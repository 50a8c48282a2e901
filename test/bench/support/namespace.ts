/** A network namespace of the bench's own: every variant sees the same addresses and the same kind of redirect. */
import { type ChildProcess, execFileSync, type StdioOptions, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Where the server is. Whoever dials it goes straight to it. */
export const SERVER_IP = "10.99.0.2";
/** The Services' address: redirects take what is dialled there to a proxy, by the port. */
export const SERVICE_IP = "10.99.1.1";

export class BenchNamespace {
  readonly name: string;

  /** @throws Error where the user may not make namespaces */
  constructor(name: string) {
    this.name = name;
    execFileSync("ip", ["netns", "add", name]);
    this.run("ip", "link", "set", "lo", "up");
    for (const ip of [SERVER_IP, SERVICE_IP]) this.run("ip", "addr", "add", `${ip}/32`, "dev", "lo");
    // Some rounds open ten thousands of connections.
    this.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=32768 65000", "net.ipv4.tcp_tw_reuse=1");
    this.run("sysctl", "-qw", "net.core.somaxconn=4096");
  }

  /** Runs a command inside, to its end. */
  run(command: string, ...argv: string[]): string {
    return execFileSync("ip", ["netns", "exec", this.name, command, ...argv], { encoding: "utf8", maxBuffer: 2 ** 26 });
  }

  /** Starts a program inside; {@link remove} ends it at the latest. `uid`: user it runs as. */
  start(
    command: string,
    argv: readonly string[],
    options: { uid?: number; env?: NodeJS.ProcessEnv; stdio?: StdioOptions } = {},
  ): ChildProcess {
    const user = options.uid === undefined ? [] : ["setpriv", `--reuid=${options.uid}`, "--clear-groups", "--"];
    return spawn("ip", ["netns", "exec", this.name, ...user, command, ...argv], {
      stdio: options.stdio ?? ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...options.env },
    });
  }

  /** Sends what anybody but `exemptUid` dials to the Services' `ports` (one, or `first:last`) to `proxyPort` instead. */
  redirect(ports: string, proxyPort: number, exemptUid: number): void {
    const match = ["-p", "tcp", "-d", SERVICE_IP, "--dport", ports, "-m", "owner", "!", "--uid-owner", `${exemptUid}`];
    this.run(
      ...["iptables", "-w", "-t", "nat", "-A", "OUTPUT"],
      ...match,
      ...["-j", "REDIRECT", "--to-ports", String(proxyPort)],
    );
  }

  /** Ends whatever still runs inside, and removes the namespace. */
  remove(): void {
    const { stdout } = spawnSync("ip", ["netns", "pids", this.name], { encoding: "utf8" });
    for (const pid of stdout.split("\n").filter(Boolean)) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    spawnSync("ip", ["netns", "delete", this.name]);
  }
}

/** Waits until something in the namespace of `child` listens on `port`. @throws Error where it ends before, or after 15 s */
export async function listening(child: ChildProcess, port: number, what: string): Promise<void> {
  const wanted = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, "0")} \\S+:0000 0A`);
  const deadline = performance.now() + 15_000;
  while (performance.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${what} ended before it listened (${child.exitCode ?? child.signalCode}): see its output above`);
    }
    if (wanted.test(netTables(child.pid))) return;
    await sleep(1);
  }
  throw new Error(`${what} does not listen on port ${port} after 15 s`);
}

/** Of the process's own namespace: before `ip` has entered it, that is this one's. */
function netTables(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/net/tcp`, "utf8");
  } catch {
    return "";
  }
}
