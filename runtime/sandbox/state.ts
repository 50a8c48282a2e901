/** Where a sandbox keeps what its verbs share: one folder, removed by `down`. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export interface SandboxState {
  readonly home: string;
  readonly kubeconfig: string;
  readonly log: string;
}

/** WEFT_SANDBOX_HOME, or `weft/sandbox` of the user's cache. */
export function sandboxState(env: NodeJS.ProcessEnv = process.env): SandboxState {
  const cache = env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  const home = env["WEFT_SANDBOX_HOME"] || join(cache, "weft", "sandbox");
  return { home, kubeconfig: join(home, "kubeconfig"), log: join(home, "log") };
}

/** The process that serves the sandbox. */
interface Server {
  readonly pid: number;
  /** When it was started, in the kernel's ticks: a pid alone may have become another process's. */
  readonly startedAt: string;
}

function serverFile(state: SandboxState): string {
  return join(state.home, "server.json");
}

export function writeServer(state: SandboxState): void {
  const server: Server = { pid: process.pid, startedAt: startTicks(process.pid) ?? "" };
  writeFileSync(serverFile(state), JSON.stringify(server));
}

/** The pid of the living server; undefined where none lives. */
export function livingServer(state: SandboxState): number | undefined {
  let server: Server;
  try {
    server = JSON.parse(readFileSync(serverFile(state), "utf8")) as Server;
  } catch {
    // Never written, or half: then none serves.
    return undefined;
  }
  return startTicks(server.pid) === server.startedAt ? server.pid : undefined;
}

/** Field 22 of /proc/<pid>/stat (proc_pid_stat(5)); undefined for no such process, or one that only waits to be reaped. */
function startTicks(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command in brackets may itself hold brackets and spaces.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function makeHome(state: SandboxState): void {
  mkdirSync(state.home, { recursive: true, mode: 0o700 });
}

export function removeHome(state: SandboxState): void {
  rmSync(state.home, { recursive: true, force: true });
}
