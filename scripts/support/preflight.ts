/** What the sandbox and the build need of the machine, and how to get it. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

interface Tool {
  readonly command: string;
  /** Debian's package. */
  readonly package: string;
  readonly why: string;
}

const TOOLS: readonly Tool[] = [
  { command: "ip", package: "iproute2", why: "the sandbox's network namespaces" },
  { command: "iptables-restore", package: "iptables", why: "the redirect of a pod's traffic to its proxy" },
  { command: "cc", package: "gcc", why: "the proxy's native addon" },
];

/** One clear line a problem; the caller prints it and ends with 1. */
export class PreflightError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "PreflightError";
  }
}

/**
 * Checks the machine. Where this process is root on Debian it installs what is missing.
 * @throws PreflightError naming the command that mends it
 */
export function preflight(log: (line: string) => void): void {
  if (process.platform !== "linux") {
    throw new PreflightError(
      `The sandbox needs Linux (this is ${process.platform}). Use a cluster of your own instead: kind or minikube, then "Weft: Choose Cluster".`,
    );
  }
  const missing = TOOLS.filter(({ command }) => !onPath(command));
  if (missing.length > 0) {
    const packages = missing.map((tool) => tool.package).join(" ");
    if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) {
      const first = missing.map(({ command, why }) => `${command} (for ${why})`).join(", ");
      throw new PreflightError(`Missing: ${first}. Install with: sudo apt-get install ${packages}`);
    }
    log(`installing ${packages}`);
    install(packages.split(" "));
  }
  if (process.getuid?.() !== 0) {
    throw new PreflightError(
      "The sandbox makes network namespaces, which takes root. Run: sudo -E env PATH=$PATH npm start",
    );
  }
}

/** Installs Debian packages; the lists are fetched only when a package is not known yet. */
export function install(packages: readonly string[]): void {
  const apt = (...argv: string[]): { status: number | null; stderr: string } =>
    spawnSync("apt-get", argv, {
      encoding: "utf8",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "ignore", "pipe"],
    });
  const command = ["install", "-y", "-qq", "--no-install-recommends", ...packages];
  if (apt(...command).status === 0) return;
  apt("update", "-qq");
  const second = apt(...command);
  if (second.status !== 0)
    throw new PreflightError(
      `apt-get install ${packages.join(" ")} failed: ${second.stderr.trim().split("\n").at(-1) ?? ""}`,
    );
}

export function onPath(command: string): boolean {
  return (process.env["PATH"] ?? "")
    .split(":")
    .concat("/usr/sbin", "/sbin")
    .some((folder) => folder !== "" && existsSync(`${folder}/${command}`));
}
