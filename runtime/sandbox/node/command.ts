/** Runs the host's tools (ip, iptables-restore, nsenter), a few milliseconds each. */
import { spawn } from "node:child_process";

/** A tool that ended with another code than 0; `message` ends with what it said. */
export class CommandError extends Error {
  readonly exitCode: number | null;
  readonly stderr: string;

  constructor(command: string, exitCode: number | null, stderr: string) {
    const said = stderr.trim();
    super(`${command} failed (exit code ${exitCode ?? "none"})${said === "" ? "" : `: ${said}`}`);
    this.name = "CommandError";
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

/**
 * @param input given to its standard input
 * @returns what it printed
 * @throws CommandError; Error naming the package to install where the tool is missing
 */
export function run(command: string, argv: readonly string[], input = ""): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn(command, argv, { env: TOOL_ENV, stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // A tool that ends before it has read its input tells why by its exit code.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  child.once("error", (cause) => {
    const hint = PACKAGES[command] === undefined ? "" : `: install Debian's package ${PACKAGES[command]}, or its like`;
    reject(new Error(`cannot run ${command} (${cause.message})${hint}`, { cause }));
  });
  child.once("close", (code) => {
    if (code === 0) resolve(stdout);
    else reject(new CommandError(`${command} ${argv.join(" ")}`, code, stderr));
  });
  return promise;
}

const PACKAGES: Readonly<Record<string, string>> = { ip: "iproute2", nsenter: "util-linux" };

/** Tools of the administrator are not on every user's PATH. */
export const TOOL_ENV: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
};
