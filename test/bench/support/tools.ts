/** What the bench needs of the machine. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { NGINX_STREAM_MODULE } from "./nginx.ts";

/** Program → Debian package. The peers are installed where they are missing; the rest is asked for. */
const PEERS: Readonly<Record<string, { readonly packages: readonly string[]; readonly file?: string }>> = {
  nginx: { packages: ["nginx-light", "libnginx-mod-stream"], file: NGINX_STREAM_MODULE },
  haproxy: { packages: ["haproxy"] },
  nghttpd: { packages: ["nghttp2-server"] },
};
const REQUIRED: Readonly<Record<string, string>> = {
  ip: "iproute2",
  iptables: "iptables",
  setpriv: "util-linux",
  sysctl: "procps",
  curl: "curl",
  cc: "gcc",
};

/** @throws Error that says what to do */
export function requireTools(variants: readonly string[]): void {
  if (process.platform !== "linux") throw new Error("network namespaces are Linux's: run the bench there");
  if (process.getuid?.() !== 0) throw new Error("network namespaces and redirects need root: run as root (sudo)");
  const missing = Object.entries(REQUIRED).filter(([program]) => !isThere(program));
  if (missing.length > 0) {
    const packages = missing.map(([, name]) => name).join(" ");
    throw new Error(`missing: ${missing.map(([program]) => program).join(", ")}; apt-get install ${packages}`);
  }
  for (const [program, { packages, file }] of Object.entries(PEERS)) {
    const there = isThere(program) && (file === undefined || existsSync(file));
    if (variants.includes(program) && !there) install(program, packages);
  }
}

/** As Debian's packages say it. */
export function versionOf(program: string): string {
  const { stdout, stderr } = spawnSync(program, ["-v"], { encoding: "utf8" });
  return /\d+\.\d+\.\d+/.exec(`${stdout}${stderr}`)?.[0] ?? "unknown";
}

function isThere(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}

function install(program: string, packages: readonly string[]): void {
  console.log(`bench: ${program} is not here: apt-get install ${packages.join(" ")}`);
  const { status } = spawnSync("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages], {
    stdio: ["ignore", "ignore", "inherit"],
    // A package that starts its service at once would take ports and time.
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
  });
  if (status !== 0 || !isThere(program)) {
    throw new Error(
      `${program} could not be installed: install Debian's ${packages.join(" and ")}, or leave it out by --only`,
    );
  }
}
