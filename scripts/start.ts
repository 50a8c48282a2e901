/**
 * `npm start`: builds everything, starts the sandbox, installs the mesh and the demo, opens VS Code with the extension in
 * it and prints the services once traffic flows. Ctrl-C takes all of it down again.
 *
 *   npm start                the whole way
 *   npm start -- --verify    without the editor: ends with 0 once every service of the demo shows its figures and full
 *                            mTLS and a tap has shown live requests, otherwise with 1 and what is missing
 */
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { formatStats } from "../runtime/cli/format/stat-table.ts";
import { createKubeClient } from "../runtime/kube/client.ts";
import { resolveContext } from "../runtime/kube/contexts.ts";
import { loadKubeconfig } from "../runtime/kube/kubeconfig.ts";
import { kubeconfigTransport } from "../runtime/kube/kubeconfig-transport.ts";
import type { KubeClient } from "../runtime/kube/types.ts";
import { applyDemo, planDemo } from "../runtime/mesh/demo.ts";
import { MeshError } from "../runtime/mesh/errors.ts";
import { applyInstall, planInstall } from "../runtime/mesh/install.ts";
import type { ProgressEvent, Run } from "../runtime/mesh/types.ts";
import { build } from "./build.ts";
import { type DemoHealth, demoHealth, tapDemo } from "./support/demo-health.ts";
import { openEditor } from "./support/editor.ts";
import { PreflightError, preflight } from "./support/preflight.ts";
import { sandboxDown, sandboxUp } from "./support/sandbox-process.ts";

const root = resolve(import.meta.dirname, "..");
const runtimeFolder = resolve(root, "dist/runtime");
/** Nobody waits longer than this for the first figures. */
const FIGURES_TIMEOUT_MS = 180_000;
const TAP_TIMEOUT_MS = 60_000;
const began = Date.now();

const stopping = new AbortController();
const cleanups: (() => void | Promise<void>)[] = [];

/** One line of what happens, with the seconds since the start. */
function say(line: string): void {
  console.log(`[${String(Math.round((Date.now() - began) / 1000)).padStart(3)}s] ${line}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { verify: { type: "boolean", default: false } } });
  preflight(say);
  say("building");
  build({ log: say });
  say("starting the sandbox, a Kubernetes on this machine");
  cleanups.push(() => {
    say("ending the sandbox");
    sandboxDown();
  });
  const kubeconfig = sandboxUp();
  say(`sandbox is up: export KUBECONFIG=${kubeconfig}`);
  const client = await connect(kubeconfig);

  await installAll(client);
  if (values.verify) {
    process.exitCode = (await verify(client)) ? 0 : 1;
    return;
  }
  const editor = await openEditor({ kubeconfig, log: say, signal: stopping.signal });
  cleanups.push(editor.close);
  const health = await waitForFigures(client);
  report(health);
  say(editor.hint);
  say("Ctrl-C ends everything");
  await new Promise<void>((done) => stopping.signal.addEventListener("abort", () => done(), { once: true }));
}

async function connect(kubeconfig: string): Promise<KubeClient> {
  const context = resolveContext(await loadKubeconfig({ env: { KUBECONFIG: kubeconfig } }));
  const transport = kubeconfigTransport(context);
  cleanups.push(() => transport.close());
  return createKubeClient(transport);
}

async function installAll(client: KubeClient): Promise<void> {
  const run: Run = { signal: stopping.signal, onProgress: narrate };
  say("installing the mesh");
  await applyInstall(client, await planInstall(client, { runtimeFolder }), run);
  say("installing the demo: a small system of agents in namespace weft-demo");
  await applyDemo(client, await planDemo(client, { runtimeFolder }), run);
}

let narrated = "";

/** Long waits and failures are worth a line, said once; each applied object is not. */
function narrate(event: ProgressEvent): void {
  if (event.state === "started" || event.state === "done") return;
  const news = `${event.state} ${event.subject} ${event.detail}`;
  if (news === narrated) return;
  narrated = news;
  say(`${event.state}: ${event.subject}${event.detail === undefined ? "" : ` (${event.detail})`}`);
}

/** Waits until nothing is missing, or the time is over; says now and then what is. */
async function waitForFigures(client: KubeClient): Promise<DemoHealth> {
  const until = Date.now() + FIGURES_TIMEOUT_MS;
  let said = Date.now();
  say("waiting for traffic");
  for (;;) {
    const health = await demoHealth(client, stopping.signal);
    if (health.missing.length === 0 || Date.now() > until || stopping.signal.aborted) return health;
    if (Date.now() - said > 15_000) {
      said = Date.now();
      say(`still waiting: ${health.missing[0]}`);
    }
    await sleep(1_000, undefined, { signal: stopping.signal });
  }
}

function report({ missing, services }: DemoHealth): void {
  if (services !== undefined) console.log(`\n${formatStats(services)}\n`);
  for (const line of missing) say(`missing: ${line}`);
}

async function verify(client: KubeClient): Promise<boolean> {
  const health = await waitForFigures(client);
  report(health);
  const seen = await tapDemo(client, AbortSignal.any([stopping.signal, AbortSignal.timeout(TAP_TIMEOUT_MS)]));
  for (const { method, path, status, latencyMs, source, destination } of seen) {
    say(
      `tap: ${source.identity ?? source.address} → ${destination.pod ?? destination.address} ${method} ${path} ${status} ${latencyMs?.toFixed(1) ?? "-"} ms`,
    );
  }
  const missing = [...health.missing, ...(seen.length === 0 ? ["tap: no live request was seen"] : [])];
  say(missing.length === 0 ? "all is shown" : `missing: ${missing.join("; ")}`);
  return missing.length === 0;
}

async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) {
    try {
      await cleanup();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
      process.exitCode = 1;
    }
  }
}

/** A message and its next step; a stack only for what nobody foresaw. */
function explain(error: unknown): string {
  if (error instanceof PreflightError) return error.message;
  if (error instanceof MeshError) return `${error.message}${error.hint === undefined ? "" : `\n      ${error.hint}`}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopping.abort());
try {
  await main();
} catch (error) {
  if (!stopping.signal.aborted) {
    say(explain(error));
    process.exitCode = 1;
  }
} finally {
  await cleanUp();
}
