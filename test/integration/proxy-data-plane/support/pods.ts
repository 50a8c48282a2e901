/** Pods of a small cluster on this machine: network namespaces on one bridge, each with the redirect of a meshed pod (reference 3.4). */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PROXY_UID } from "../../../../runtime/model/names.ts";
import { port } from "../../../../runtime/model/ports.ts";

const root = join(import.meta.dirname, "../../../..");

/** As the injector's init container sets them. */
const REDIRECT = `*nat
:PROXY_INIT_REDIRECT - [0:0]
:PROXY_INIT_OUTPUT - [0:0]
-A PROXY_INIT_REDIRECT -p tcp -m multiport --dports ${port.control},${port.admin} -j RETURN
-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-port ${port.inbound}
-A PREROUTING -j PROXY_INIT_REDIRECT
-A PROXY_INIT_OUTPUT -m owner --uid-owner ${PROXY_UID} -j RETURN
-A PROXY_INIT_OUTPUT -o lo -j RETURN
-A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-port ${port.outbound}
-A OUTPUT -j PROXY_INIT_OUTPUT
COMMIT
`;

export class Pod {
  readonly ip: string;
  readonly #namespace: string;
  readonly #children: ChildProcess[] = [];

  constructor(namespace: string, ip: string) {
    this.#namespace = namespace;
    this.ip = ip;
  }

  redirect(): void {
    execFileSync("ip", ["netns", "exec", this.#namespace, "iptables-restore", "--noflush"], { input: REDIRECT });
  }

  /** Runs a command to its end. @returns what it printed */
  run(command: string, argv: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn("ip", ["netns", "exec", this.#namespace, command, ...argv], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      let out = "";
      let errors = "";
      child.stdout.on("data", (chunk) => {
        out += chunk;
      });
      child.stderr.on("data", (chunk) => {
        errors += chunk;
      });
      child.on("close", (code) =>
        code === 0 ? resolve(out) : reject(new Error(`${command} ended with ${code}: ${errors}${out}`)),
      );
    });
  }

  /** Starts a TypeScript program with an IPC channel, as `uid`; resolves with its first message. */
  start<First>(
    script: string,
    options: { uid?: number; argument?: unknown; stderr?: "inherit" | "pipe" } = {},
  ): Promise<{ child: ChildProcess; first: First }> {
    const user = ["setpriv", `--reuid=${options.uid ?? 0}`, "--clear-groups", "--"];
    const child = spawn(
      "ip",
      ["netns", "exec", this.#namespace, ...user, process.execPath, script, JSON.stringify(options.argument ?? null)],
      { stdio: ["ignore", "inherit", options.stderr ?? "inherit", "ipc"] },
    );
    this.#children.push(child);
    return new Promise((resolve, reject) => {
      child.once("message", (first) => resolve({ child, first: first as First }));
      child.once("exit", (code) => reject(new Error(`${script} ended with ${code} before it was ready`)));
    });
  }

  /** Starts any program; it ends with the pod. */
  spawn(command: string, argv: readonly string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.#namespace, command, ...argv], { stdio: "ignore" });
    this.#children.push(child);
    return child;
  }

  async remove(): Promise<void> {
    await Promise.all(
      this.#children.map(
        (child) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) {
              resolve();
              return;
            }
            child.once("exit", () => resolve());
            child.kill("SIGKILL");
          }),
      ),
    );
    execFileSync("ip", ["netns", "delete", this.#namespace]);
  }
}

/** A bridge and the pods on it. */
export class Pods {
  static #count = 0;
  readonly #name: string;
  readonly #pods: Pod[] = [];
  /** For files that pods read, whatever their user. */
  readonly folder: string;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "weft-pods-"));
    chmodSync(this.folder, 0o755);
    this.#name = `weft-${process.pid.toString(36)}${Pods.#count++}`;
    this.#ip("netns", "add", this.#name);
    this.#ip("-n", this.#name, "link", "add", "bridge", "type", "bridge");
    this.#ip("-n", this.#name, "link", "set", "bridge", "up");
  }

  /** Everything outside the pod's own network leaves through its interface, as to a cluster's services. */
  add(): Pod {
    const index = this.#pods.length + 2;
    const namespace = `${this.#name}-${index}`;
    const ip = `10.88.0.${index}`;
    this.#ip("netns", "add", namespace);
    this.#ip(
      "-n",
      this.#name,
      "link",
      "add",
      `pod${index}`,
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      namespace,
    );
    this.#ip("-n", this.#name, "link", "set", `pod${index}`, "master", "bridge", "up");
    this.#ip("-n", namespace, "link", "set", "lo", "up");
    this.#ip("-n", namespace, "addr", "add", `${ip}/24`, "dev", "eth0");
    this.#ip("-n", namespace, "link", "set", "eth0", "up");
    this.#ip("-n", namespace, "route", "add", "default", "dev", "eth0");
    const pod = new Pod(namespace, ip);
    this.#pods.push(pod);
    return pod;
  }

  /** Compiles the addon that knows a connection's original destination. @returns its path */
  buildAddon(): string {
    const output = join(this.folder, "original-dst.node");
    const headers = join(dirname(dirname(process.execPath)), "include/node");
    const source = join(root, "runtime/proxy/transport/native/original-dst.c");
    const flags = ["-shared", "-fPIC", "-O2", "-s", "-nostdlib", "-ffreestanding", "-fno-stack-protector"];
    execFileSync("cc", [...flags, `-I${headers}`, source, "-o", output]);
    return output;
  }

  async remove(): Promise<void> {
    for (const pod of this.#pods) await pod.remove();
    this.#ip("netns", "delete", this.#name);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #ip(...argv: string[]): void {
    execFileSync("ip", argv);
  }
}
