/** A client's pod and a server's, each behind its proxy: what the judges run in. */
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ask,
  endpoint,
  type MeshedPod,
  type Report,
  TestMesh,
} from "../../integration/proxy-data-plane/support/mesh.ts";
import type { PortPolicy } from "../../integration/proxy-data-plane/support/static.ts";

/** Where clients dial; whatever port, it leads to the same port of the server. */
export const SERVICE = "10.96.0.20";
const READY_WITHIN_MS = 20_000;
const QUIET_WITHIN_MS = 5_000;

/** Ports by what is known of them: the protocol is found out, or the port is marked opaque. */
export type JudgedPorts = Readonly<Record<number, "detect" | "opaque">>;

export class Pair {
  readonly mesh = new TestMesh();
  readonly #ports: JudgedPorts;
  readonly #hinted: boolean;
  #client: MeshedPod | undefined;
  #server: MeshedPod | undefined;

  /** @param hinted discovery says that the server's proxy takes HTTP/2, as it does of meshed pods: HTTP/1 rides on it then */
  constructor(ports: JudgedPorts, hinted = true) {
    this.#ports = ports;
    this.#hinted = hinted;
  }

  /** A folder for everybody. */
  get folder(): string {
    return this.mesh.pods.folder;
  }

  get client(): MeshedPod {
    return started(this.#client);
  }

  get server(): MeshedPod {
    return started(this.#server);
  }

  async start(): Promise<void> {
    const policies: Record<string, PortPolicy> = {};
    for (const [port, protocol] of Object.entries(this.#ports)) policies[port] = { protocol };
    const server = await this.mesh.add("server", { policies });
    const hint = this.#hinted ? ({ protocolHint: "h2" } as const) : {};
    const targets = Object.fromEntries(
      Object.entries(this.#ports).map(([port, protocol]) => [
        `${SERVICE}:${port}`,
        { protocol, endpoints: [endpoint(server, Number(port), hint)] },
      ]),
    );
    this.#server = server;
    this.#client = await this.mesh.add("client", { targets });
  }

  /** Runs a shell line in the client's pod. @returns what it printed */
  atClient(line: string): Promise<string> {
    return this.client.pod.run("sh", ["-c", line]);
  }

  /** The same beside the server: what it gives to its own loopback passes no proxy. */
  atServer(line: string): Promise<string> {
    return this.server.pod.run("sh", ["-c", line]);
  }

  /** Starts a program beside the server, as `user`, and waits until something listens on `port`. */
  async serve(port: number, command: string, argv: readonly string[], user = "root"): Promise<ChildProcess> {
    const as = [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--"];
    const child = this.server.pod.spawn("setpriv", [...as, command, ...argv]);
    const until = Date.now() + READY_WITHIN_MS;
    const hex = port.toString(16).toUpperCase().padStart(4, "0");
    for (;;) {
      // Nothing connects: some servers count a connection that says nothing as an error.
      const sockets = await this.atServer("cat /proc/net/tcp");
      if (new RegExp(`: [0-9A-F]{8}:${hex} [0-9A-F:]+ 0A `).test(sockets)) return child;
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${command} ended with ${child.exitCode ?? child.signalCode}; its log is in ${this.folder}`);
      if (Date.now() > until) throw new Error(`${command} does not listen on ${port} after ${READY_WITHIN_MS} ms`);
      await sleep(50);
    }
  }

  /** @returns connections that ended otherwise than by an end, as series; and those that never end, where `open` is to be 0 */
  async unclean(open: "any" | "none"): Promise<string[]> {
    const found: string[] = [];
    for (const { proxy } of [this.client, this.server]) {
      let report = await ask<Report>(proxy, { metrics: true });
      const until = Date.now() + QUIET_WITHIN_MS;
      while (open === "none" && report.open.inbound + report.open.outbound > 0 && Date.now() < until) {
        await sleep(50);
        report = await ask<Report>(proxy, { metrics: true });
      }
      if (open === "none" && report.open.inbound + report.open.outbound > 0)
        found.push(`${report.open.inbound} inbound and ${report.open.outbound} outbound connections are still open`);
      for (const [series, value] of report.values)
        if (series.startsWith("tcp_close_total{") && !series.includes('errno=""') && value > 0)
          found.push(`${series} ${value}`);
    }
    return found;
  }

  /** Ends a program that wants to put its things away. */
  async end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await Promise.race([gone, sleep(10_000, undefined, { ref: false })]);
  }

  remove(): Promise<void> {
    return this.mesh.remove();
  }
}

function started(pod: MeshedPod | undefined): MeshedPod {
  if (pod === undefined) throw new Error("the pair was not started");
  return pod;
}

/** Bytes that no compression or repetition could fake. */
export function noise(length: number, seed: string): Buffer {
  return createHash("shake256", { outputLength: length }).update(seed).digest();
}

export function sha256(bytes: string | Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
