/**
 * Memory of an idle sidecar, as this machine's kernel counts it, beside processes that explain it.
 *
 *   node scripts/build.ts --only proxy,loader && node test/bench/proxy-memory.ts
 *
 * Anonymous is what a container's cgroup calls `rss` (the budget's figure: 12 MiB, goal 10). Private is what the process alone is
 * charged with (smaps_rollup: Private_Clean + Private_Dirty); Rss counts the pages of the Node binary too, which all sidecars of a
 * node share.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PROXY_NODE_ENV, PROXY_NODE_FLAGS } from "../../runtime/model/bundle.ts";
import { createTestAuthority } from "../integration/proxy-control/support/authority.ts";
import { ControlPlane } from "../integration/proxy-control/support/control-plane.ts";
import { proxyEnvironment } from "../integration/proxy-control/support/proxy-process.ts";

const root = resolve(import.meta.dirname, "../..");
const bundle = join(root, "dist/runtime/proxy");
const SETTLE_MS = 5_000;
/** Until the proxy has given back what starting left behind. */
const TIDY_MS = 25_000;
const IDLE = "setInterval(() => {}, 1e6);";

interface Memory {
  readonly anonymousMiB: number;
  readonly privateMiB: number;
  readonly rssMiB: number;
  readonly cpuMs: number;
}

function memoryOf(pid: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0);
  const [, ticks = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
  const fields = ticks.split(" ");
  return {
    anonymousMiB: kibibytes("Anonymous") / 1024,
    privateMiB: (kibibytes("Private_Clean") + kibibytes("Private_Dirty")) / 1024,
    rssMiB: kibibytes("Rss") / 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
  };
}

async function measure(name: string, script: string, env?: NodeJS.ProcessEnv): Promise<void> {
  const flags = [...PROXY_NODE_FLAGS, "-e", script];
  const child: ChildProcess = spawn(process.execPath, flags, {
    cwd: root,
    env: { PATH: process.env["PATH"], ...PROXY_NODE_ENV, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  try {
    for (const settleMs of env === undefined ? [SETTLE_MS] : [SETTLE_MS, TIDY_MS]) {
      await sleep(settleMs);
      if (child.exitCode !== null || child.pid === undefined) throw new Error(`${name} ended: ${output}`);
      const { anonymousMiB, privateMiB, rssMiB, cpuMs } = memoryOf(child.pid);
      const ready = /ready in (\d+) ms/.exec(output)?.[1];
      console.log(
        `${name.padEnd(24)} anonymous ${anonymousMiB.toFixed(1).padStart(5)} MiB   private ${privateMiB.toFixed(1).padStart(5)} MiB   rss ${rssMiB.toFixed(1).padStart(5)} MiB   cpu ${cpuMs} ms${ready === undefined ? "" : `   ready in ${ready} ms`}`,
      );
    }
  } finally {
    child.kill("SIGKILL");
  }
}

const authority = createTestAuthority();
const plane = new ControlPlane({ authority });
const scratch = mkdtempSync(join(tmpdir(), "weft-proxy-memory-"));
try {
  const ports = await plane.start();
  const digests: Record<string, string> = {};
  for (const file of readdirSync(bundle).filter((name) => name !== "main.cjs")) {
    digests[file] = createHash("sha256")
      .update(readFileSync(join(bundle, file)))
      .digest("hex");
  }
  await measure("node alone", IDLE);
  await measure("node + node:http", `require("node:http"); ${IDLE}`);
  await measure("node + node:http2", `require("node:http2"); ${IDLE}`);
  await measure("node + node:tls", `require("node:tls"); ${IDLE}`);
  await measure("node + @grpc/grpc-js", `require("@grpc/grpc-js"); ${IDLE}`);
  await measure("proxy, idle", readFileSync(join(root, "dist/runtime/loader.cjs"), "utf8"), {
    ...proxyEnvironment(scratch, ports, authority),
    WEFT_BUNDLE_FOLDER: bundle,
    WEFT_BUNDLE_SCRATCH: scratch,
    WEFT_BUNDLE_SHA256: JSON.stringify(digests),
  });
} finally {
  plane.stop();
  rmSync(scratch, { recursive: true, force: true });
}
