/** up, down, env, status: what the command line does, from outside the server's process. */
import { fork } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createKubeClient } from "../kube/client.ts";
import { resolveContext } from "../kube/contexts.ts";
import { loadKubeconfig } from "../kube/kubeconfig.ts";
import { kubeconfigTransport } from "../kube/kubeconfig-transport.ts";
import { resource } from "../kube/resources.ts";
import { listAt, stringAt } from "./api/object.ts";
import { removeSandboxNode } from "./node/node.ts";
import { livingServer, makeHome, removeHome, type SandboxState } from "./state.ts";

const START_MS = 30_000;
const STOP_MS = 60_000;
const LOG_LINES = 15;

/** What went wrong, in a line for the user; the command ends with 1. */
export class SandboxError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SandboxError";
  }
}

/** @throws SandboxError where this machine cannot run a sandbox */
export function checkMachine(): void {
  if (process.platform !== "linux") {
    throw new SandboxError(
      `The sandbox needs Linux (this is ${process.platform}). Use a cluster of your own instead, e.g. of kind or minikube, and choose it with "Weft: Choose Cluster".`,
    );
  }
  if (process.getuid?.() !== 0) {
    throw new SandboxError(
      "The sandbox makes network namespaces and mounts, which takes root. Run: sudo -E env PATH=$PATH npm run sandbox -- up",
    );
  }
}

export function environment(state: SandboxState): string {
  return `export KUBECONFIG=${state.kubeconfig}`;
}

/** Starts the server, detached, and waits until it serves. Says whether it was up already. */
export async function up(state: SandboxState): Promise<"started" | "already up"> {
  checkMachine();
  if (livingServer(state) !== undefined && existsSync(state.kubeconfig)) return "already up";
  makeHome(state);
  const log = openSync(state.log, "a");
  const child = fork(resolve(import.meta.dirname, "main.ts"), ["serve"], {
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
    env: { ...process.env, WEFT_SANDBOX_HOME: state.home },
  });
  closeSync(log);
  const giveUp = (): void => {
    child.kill("SIGTERM");
    process.exit(130);
  };
  process.once("SIGINT", giveUp);
  process.once("SIGTERM", giveUp);
  try {
    await new Promise<void>((ready, fail) => {
      const timer = setTimeout(() => {
        child.kill("SIGTERM");
        fail(new SandboxError(`The sandbox was not ready within ${START_MS / 1000} s. ${logTail(state)}`));
      }, START_MS);
      child.once("message", () => {
        clearTimeout(timer);
        ready();
      });
      child.once("error", (error) => {
        clearTimeout(timer);
        fail(new SandboxError(`The sandbox's process could not be started: ${error.message}`));
      });
      child.once("exit", (code) => {
        clearTimeout(timer);
        fail(new SandboxError(`The sandbox's process ended (exit code ${code}). ${logTail(state)}`));
      });
    });
  } finally {
    process.off("SIGINT", giveUp);
    process.off("SIGTERM", giveUp);
  }
  child.disconnect();
  child.unref();
  return "started";
}

function logTail(state: SandboxState): string {
  try {
    const lines = readFileSync(state.log, "utf8").trimEnd().split("\n").slice(-LOG_LINES);
    return `Its log (${state.log}) ends:\n${lines.join("\n")}`;
  } catch {
    return `It wrote no log (${state.log}).`;
  }
}

/** Ends the server and removes what a crashed one may have left. Nothing there is no error. */
export async function down(state: SandboxState): Promise<void> {
  if (process.platform !== "linux" || !existsSync(state.home)) return;
  checkMachine();
  const pid = livingServer(state);
  if (pid !== undefined) {
    process.kill(pid, "SIGTERM");
    const until = Date.now() + STOP_MS;
    while (livingServer(state) !== undefined) {
      if (Date.now() > until) {
        process.kill(pid, "SIGKILL");
        break;
      }
      await sleep(50);
    }
  }
  await removeSandboxNode(state.home);
  removeHome(state);
}

/** Lines about nodes and pods. @throws SandboxError where it is not up */
export async function status(state: SandboxState): Promise<string[]> {
  const pid = livingServer(state);
  if (pid === undefined) throw new SandboxError(notUp(state));
  const kubeconfig = await loadKubeconfig({ env: { ...process.env, KUBECONFIG: state.kubeconfig } });
  const transport = kubeconfigTransport(resolveContext(kubeconfig));
  try {
    const client = createKubeClient(transport);
    const nodes = await client.list(resource.nodes);
    const pods = await client.list(resource.pods);
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return [
      `up: ${transport.server}, process ${pid}, ${Math.round(Number(rss) / 1024)} MiB`,
      ...nodes.items.map((node) => {
        const ready = listAt(node, "status", "conditions").find((entry) => entry["type"] === "Ready");
        return `node ${node.metadata.name}: ${ready?.["status"] === "True" ? "Ready" : "NotReady"}`;
      }),
      ...pods.items.map(
        (pod) =>
          `pod ${pod.metadata.namespace}/${pod.metadata.name}: ${stringAt(pod, "status", "phase")} ${stringAt(pod, "status", "podIP") ?? ""}`,
      ),
    ];
  } finally {
    transport.close();
  }
}

export function notUp(state: SandboxState): string {
  return `No sandbox is up (${state.home}). Start one with: npm run sandbox -- up`;
}

export function requireUp(state: SandboxState): void {
  if (livingServer(state) === undefined) throw new SandboxError(notUp(state));
}
