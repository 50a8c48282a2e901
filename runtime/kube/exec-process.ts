/** The process of a credential plugin: found, run, listened to, ended with its children. */
import { type ChildProcess, spawn } from "node:child_process";
import { delimiter } from "node:path";
import { CredentialPluginError } from "./credential-plugin-error.ts";
import type { ExecConfig } from "./kubeconfig.ts";

const STDERR_KEPT = 4_000;

/** How plugins are run here. */
export interface ExecOptions {
  /** Whether a terminal is there to ask at; stdin is handed to the plugin then. Default false. */
  readonly interactive?: boolean;
  /** Gets what the plugin writes to stderr while it runs: device codes, addresses to open. */
  readonly onOutput?: (text: string) => void;
  /** Searched before PATH: editors started from a desktop lack what shells add. */
  readonly extraPath?: readonly string[];
  /** Default 5 min: a login in a browser takes its time. */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

interface Invocation extends ExecOptions {
  readonly execInfo: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** @returns what the plugin wrote to its standard output */
export function runPlugin(server: string, exec: ExecConfig, run: Invocation): Promise<string> {
  const command = [exec.command, ...exec.args].join(" ");
  const env: NodeJS.ProcessEnv = { ...(run.env ?? process.env), ...exec.env, KUBERNETES_EXEC_INFO: run.execInfo };
  env["PATH"] = [...(run.extraPath ?? []), env["PATH"] ?? ""].join(delimiter);
  return new Promise((resolve, reject) => {
    const child = spawn(exec.command, exec.args, {
      env,
      stdio: [run.interactive ? "inherit" : "ignore", "pipe", "pipe"],
      // A group of its own, so that a browser helper it started ends with it; at a terminal it must stay in the foreground group.
      detached: process.platform !== "win32" && !run.interactive,
      windowsHide: true,
    });
    let stdout = "";
    let stderr = "";
    let timedOut = false;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-STDERR_KEPT);
      run.onOutput?.(text);
    });
    const timer = setTimeout(() => {
      timedOut = true;
      endTree(child, run.interactive === true);
    }, run.timeoutMs);
    const abort = () => endTree(child, run.interactive === true);
    run.signal.addEventListener("abort", abort, { once: true });
    const settle = () => {
      clearTimeout(timer);
      run.signal.removeEventListener("abort", abort);
    };
    child.once("error", (cause: NodeJS.ErrnoException) => {
      settle();
      if (cause.code !== "ENOENT") {
        const message = `the credential plugin ${exec.command} could not be started: ${cause.code ?? cause.message}`;
        return reject(new CredentialPluginError("failed", server, command, message, { cause }));
      }
      const searched = /[/\\]/.test(exec.command) ? "" : ` in PATH (${env["PATH"]})`;
      const hint = exec.installHint === undefined ? "" : `\n${exec.installHint}`;
      const message = `the credential plugin ${exec.command} was not found${searched}.${hint}`;
      reject(new CredentialPluginError("not-found", server, command, message, { cause }));
    });
    child.once("close", (code, signal) => {
      settle();
      if (run.signal.aborted) return reject(run.signal.reason);
      const said = stderr.trim() === "" ? "" : `:\n${stderr.trim()}`;
      if (timedOut) {
        const message = `the credential plugin "${command}" gave no credential within ${run.timeoutMs / 1000} s${said}`;
        return reject(new CredentialPluginError("timeout", server, command, message, { stderr }));
      }
      if (code !== 0) {
        const how = code === null ? `was ended by ${signal}` : `failed with exit code ${code}`;
        const message = `the credential plugin "${command}" ${how}${said}`;
        return reject(new CredentialPluginError("failed", server, command, message, { stderr }));
      }
      resolve(stdout);
    });
  });
}

function endTree(child: ChildProcess, inForeground: boolean): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  try {
    if (process.platform === "win32") spawn("taskkill", ["/pid", String(child.pid), "/t", "/f"], { windowsHide: true });
    else if (inForeground) child.kill("SIGTERM");
    else process.kill(-child.pid, "SIGTERM");
  } catch {
    // It ended between the look and the kill.
  }
}
