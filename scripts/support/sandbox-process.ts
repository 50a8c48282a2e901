/** The sandbox as the scripts use it: a program of its own, run by its verbs. */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const main = resolve(import.meta.dirname, "../../runtime/sandbox/main.ts");

/**
 * Starts the sandbox (or finds it running).
 * @returns the path of its kubeconfig
 * @throws Error with what it printed last
 */
export function sandboxUp(env: NodeJS.ProcessEnv = process.env): string {
  const { status, stdout } = run("up", env);
  const kubeconfig = /KUBECONFIG=(\S+)/.exec(stdout)?.[1];
  if (status !== 0 || kubeconfig === undefined) throw new Error(`the sandbox did not start (exit code ${status})`);
  return kubeconfig;
}

/** Ends the sandbox and removes all it made. @throws Error where something of it is left */
export function sandboxDown(env: NodeJS.ProcessEnv = process.env): void {
  const { status } = run("down", env);
  if (status !== 0) throw new Error(`the sandbox did not end in good order (exit code ${status})`);
}

/** What it says goes to stderr and is passed on; stdout is for programs. */
function run(verb: string, env: NodeJS.ProcessEnv): { status: number | null; stdout: string } {
  // A group of its own: Ctrl-C is for the caller, who then takes it down in order.
  return spawnSync("setsid", ["--wait", process.execPath, main, verb], {
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
}
