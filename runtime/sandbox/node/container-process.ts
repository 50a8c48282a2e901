/** One run of one container: a process tree in namespaces of its own, and commands run beside it. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { TOOL_ENV } from "./command.ts";
import { OLD_ROOT } from "./rootfs.ts";

export interface ProcessSpec {
  /** For messages of the tools, and beside the root folder. */
  readonly workFolder: string;
  readonly rootFolder: string;
  /** From buildRoot. */
  readonly fstab: string;
  /** Path of the pod's network namespace. */
  readonly networkNamespace: string;
  readonly hostname: string;
  /** Arguments of setpriv(1). */
  readonly privileges: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly workingDir: string;
  readonly argv: readonly string[];
  /** stdout and stderr are appended to it. */
  readonly logFile: string;
}

/** 128 + n where signal n ended it. */
export type ExitCode = number;

/** The container could not be made, or its program is not there; nothing of it ran. */
export class ContainerStartError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ContainerStartError";
  }
}

/**
 * The first process that it makes is the first of the container's namespace; it ends as that one does. What a shell says
 * about a child that was killed is not the container's output.
 */
const WAITER = '"$@" & exec 2>/dev/null 3>&-; wait $!';

/**
 * First process of the container: mounts, leaves the host's root for good, and becomes the program. It tells its number,
 * as the host counts, over descriptor 3; what goes wrong before that is the container's failure to start.
 */
const LAUNCHER = `
set -e
exec 4>&2 2>&3
read -r pid rest </proc/self/stat
echo "$3" >/proc/sys/kernel/hostname
mount --all --no-mtab --fstab "$1"
cd "$2"
pivot_root . ${OLD_ROOT}
cd /
umount --no-mtab --lazy /${OLD_ROOT}
if ! (cd "$4" && PATH="$5" && command -v -- "$6" >/dev/null); then
  echo "exec: \\"$6\\": executable file not found in \\$PATH" >&3
  exit 127
fi
echo "pid $pid" >&3
exec 2>&4 3>&- 4>&-
shift 6
exec "$@"
`;

export class ContainerProcess {
  /** The container's first process, as the host counts. */
  readonly pid: number;
  readonly exited: Promise<ExitCode>;
  readonly #spec: ProcessSpec;
  #ended = false;

  private constructor(spec: ProcessSpec, pid: number, exited: Promise<ExitCode>) {
    this.#spec = spec;
    this.pid = pid;
    this.exited = exited;
    void exited.then(() => {
      this.#ended = true;
    });
  }

  /** Resolves once the program takes over. @throws ContainerStartError */
  static async start(spec: ProcessSpec): Promise<ContainerProcess> {
    const fstab = join(spec.workFolder, "fstab");
    await writeFile(fstab, spec.fstab);
    const log = openSync(spec.logFile, "a");
    let child: ChildProcess;
    try {
      // Namespaces of processes make an end certain: when the first one dies, all do; when this program dies, so does it.
      child = spawn("setpriv", launcherArguments(spec, fstab), {
        env: TOOL_ENV,
        stdio: ["ignore", log, log, "pipe"],
        // Ctrl-C in the sandbox's terminal is not for pods.
        detached: true,
      });
    } catch (error) {
      // e.g. a zero byte in a variable
      throw new ContainerStartError(error instanceof Error ? error.message : String(error), { cause: error });
    } finally {
      closeSync(log);
    }
    let failure = "see its log";
    child.once("error", (error) => {
      failure = error.message;
    });
    const exited = exitOf(child);
    const told = await report(child.stdio[3] as Readable);
    const pid = Number(STARTED.exec(told)?.[1]);
    if (Number.isNaN(pid)) {
      const code = await exited;
      throw new ContainerStartError(told.trim() || `cannot make the container (exit code ${code}): ${failure}`);
    }
    return new ContainerProcess(spec, pid, exited);
  }

  signal(name: "SIGTERM" | "SIGKILL"): void {
    // Its number may belong to another by now.
    if (this.#ended) return;
    try {
      process.kill(this.pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  /**
   * Runs a command in the container, as `kubectl exec` does: probes and hooks.
   * @returns its exit code and the first 10 KiB of what it said; code 137 when the signal ended it
   */
  async exec(argv: readonly string[], signal: AbortSignal): Promise<{ code: number; output: string }> {
    const { privileges, env, workingDir } = this.#spec;
    const entry = ["--target", String(this.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"];
    const child = spawn("nsenter", [...entry, "setpriv", ...program(privileges, env, workingDir, argv)], {
      env: TOOL_ENV,
      stdio: ["ignore", "pipe", "pipe"],
      signal,
      killSignal: "SIGKILL",
    });
    let output = "";
    const keep = (bytes: Buffer): void => {
      if (output.length < EXEC_OUTPUT_LIMIT) output += bytes.toString("utf8");
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    // An aborted signal surfaces here; the exit follows.
    child.on("error", () => {});
    const code = await exitOf(child);
    return { code, output: output.slice(0, EXEC_OUTPUT_LIMIT) };
  }
}

/** The launcher's last line on descriptor 3. */
const STARTED = /^pid (\d+)\n/m;
const EXEC_OUTPUT_LIMIT = 10 * 1024;

function launcherArguments(spec: ProcessSpec, fstab: string): string[] {
  const { rootFolder, hostname, privileges, env, workingDir, argv } = spec;
  return [
    "--pdeathsig=KILL",
    "--",
    ...["nsenter", `--net=${spec.networkNamespace}`, "--"],
    ...["unshare", "--mount", "--uts", "--ipc", "--pid", "--"],
    ...["sh", "-c", WAITER, "sh", "setpriv", "--pdeathsig=KILL", "--"],
    ...["sh", "-c", LAUNCHER, "sh", fstab, rootFolder, hostname],
    ...[workingDir, env.get("PATH") ?? "", argv[0] ?? ""],
    ...["setpriv", ...program(privileges, env, workingDir, argv)],
  ];
}

/** env(1) looks the program up on the container's own PATH. */
function program(
  privileges: readonly string[],
  env: ReadonlyMap<string, string>,
  workingDir: string,
  argv: readonly string[],
): string[] {
  const variables = [...env].map(([name, value]) => `${name}=${value}`);
  // A shell's child in the background ignores SIGINT.
  return [...privileges, "--", "env", "-i", "--default-signal", "-C", workingDir, ...variables, ...argv];
}

function exitOf(child: ChildProcess): Promise<ExitCode> {
  return new Promise((resolve) => {
    child.once("error", () => resolve(128));
    child.once("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
  });
}

/** What the launcher tells: until the program takes over, or until it gave up. */
async function report(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += String(chunk);
    if (STARTED.test(text)) break;
  }
  return text;
}
