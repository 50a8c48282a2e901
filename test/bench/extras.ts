/** What is measured beside CPU and latency: start-up, memory, new connections, the longest turn of the event loop. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { portsOf, type Topology, type Variant } from "./cells.ts";
import { Deployment, type DeployOptions, startProxy } from "./deployment.ts";
import { median, rounded } from "./statistics.ts";
import { cpuMs } from "./support/cpu.ts";
import { listening } from "./support/namespace.ts";
import { run } from "./traffic.ts";
import { EXTRA_PORT, EXTRA_SERVICES, type World } from "./world.ts";

/** MiB. */
interface Memory {
  readonly privateMiB: number | null;
  readonly rssMiB: number | null;
}

export interface VariantMemory {
  readonly variant: Variant;
  /** The client's sidecar, nothing sent yet. */
  readonly idle: Memory;
  /** The client's proxy with 1,000 connections of applications that have each sent a request over HTTP/1. */
  readonly applications1000: Memory;
  /** The server's proxy with 1,000 separate mTLS connections, bytes through each. */
  readonly peers1000: Memory;
  /** After saturation by HTTP/1 over mTLS, the larger of both sides; null where it was not tried. */
  readonly saturated: (Memory & { readonly seconds: number }) | null;
}

const MANY = 1_000;
const SETTLE_MS = 1_500;

function memory({ private: own, rss }: { private: number; rss: number }): Memory {
  return { privateMiB: rounded(own / 1024, 1), rssMiB: rounded(rss / 1024, 1) };
}

export async function measureMemory(
  world: World,
  variant: Variant,
  options: { readonly idleMs: number; readonly saturationSeconds: number },
): Promise<VariantMemory> {
  const http = await Deployment.start(world, { variant, protocol: "http1", topology: "mtls" });
  let idle: Memory;
  let applications1000: Memory;
  let saturated: VariantMemory["saturated"] = null;
  try {
    await sleep(options.idleMs);
    idle = memory(http.memory()[0] ?? { private: 0, rss: 0 });
    applications1000 = memory((await held(world, http, "http1"))[0] ?? { private: 0, rss: 0 });
  } finally {
    await http.stop();
  }
  const tcp = await Deployment.start(world, { variant, protocol: "tcp", topology: "mtls" });
  let peers1000: Memory;
  try {
    peers1000 = memory((await held(world, tcp, "tcp"))[1] ?? { private: 0, rss: 0 });
  } finally {
    await tcp.stop();
  }
  if (options.saturationSeconds > 0) {
    const fresh = await Deployment.start(world, { variant, protocol: "http1", topology: "mtls" });
    try {
      const seconds = options.saturationSeconds;
      await run(world, fresh, { kind: "http1", connections: 32, streams: 1, rate: 0, warm: 0.1, seconds });
      const sides = fresh.memory().toSorted((a, b) => b.private - a.private);
      saturated = { ...memory(sides[0] ?? { private: 0, rss: 0 }), seconds };
    } finally {
      await fresh.stop();
    }
  }
  return { variant, idle, applications1000, peers1000, saturated };
}

/** KiB of each side while 1,000 connections are open, each used, and idle. */
async function held(world: World, deployment: Deployment, kind: "http1" | "tcp") {
  // Peers do with each connection what takes a handshake: some 2 ms on both sides.
  const load = { kind, connections: MANY, streams: 1, rate: 1_000, warm: 2, seconds: 2 } as const;
  const traffic = await run(world, deployment, { ...load, hold: SETTLE_MS / 1_000 + 1 });
  await sleep(SETTLE_MS);
  const sides = deployment.memory();
  await traffic.ended;
  return sides;
}

export interface Startup {
  readonly variant: Variant;
  /** Medians, from the start of the process until its port listens; for ours that is when it is ready. */
  readonly readyMs: number | null;
  readonly cpuMs: number | null;
  readonly runs: number;
}

export async function measureStartup(world: World, variants: readonly Variant[], runs: number): Promise<Startup[]> {
  const taken = new Map(variants.map((variant) => [variant, { ready: [] as number[], cpu: [] as number[] }]));
  for (let at = 0; at < runs; at++)
    for (const [variant, { ready, cpu }] of taken) {
      const wanted: DeployOptions = { variant, protocol: "http1", topology: "plain" };
      const began = performance.now();
      const child = startProxy(world, wanted, "outbound");
      try {
        await listening(child, portsOf("http1", "plain", variant).outbound, variant);
        ready.push(performance.now() - began);
        cpu.push(child.pid === undefined ? Number.NaN : cpuMs(child.pid));
      } finally {
        child.kill("SIGTERM");
        await new Promise((resolve) => child.once("exit", resolve));
      }
    }
  return [...taken].map(([variant, { ready, cpu }]) => ({
    variant,
    readyMs: rounded(median(ready), 0),
    cpuMs: rounded(median(cpu), 0),
    runs,
  }));
}

export interface NewConnections {
  readonly variant: Variant;
  /** New TCP connections of applications, each with a whole mTLS handshake between two proxies, a second of CPU of both. */
  readonly perCpuSecond: number | null;
  readonly perSecond: number | null;
  readonly runs: number;
}

export async function measureConnections(
  world: World,
  variants: readonly Variant[],
  options: { readonly rounds: number; readonly seconds: number },
): Promise<NewConnections[]> {
  const deployed: Deployment[] = [];
  const taken = new Map<Variant, { cpu: number[]; wall: number[] }>();
  try {
    for (const variant of variants)
      deployed.push(await Deployment.start(world, { variant, protocol: "tcp", topology: "mtls" }));
    const how = { kind: "tcp", connections: 16, streams: 1, rate: 0, fresh: true } as const;
    for (const one of deployed) await run(world, one, { ...how, warm: 0.1, seconds: options.seconds });
    for (let round = 0; round < options.rounds; round++)
      for (const one of deployed) {
        const { done, cpuMs, seconds } = await run(world, one, { ...how, warm: 0.2, seconds: options.seconds });
        const entry = taken.get(one.variant) ?? { cpu: [], wall: [] };
        entry.cpu.push((done / cpuMs) * 1_000);
        entry.wall.push(done / seconds);
        taken.set(one.variant, entry);
      }
  } finally {
    await Promise.all(deployed.map((one) => one.stop()));
  }
  return [...taken].map(([variant, { cpu, wall }]) => ({
    variant,
    perCpuSecond: rounded(median(cpu), 0),
    perSecond: rounded(median(wall), 0),
    runs: cpu.length,
  }));
}

export interface Turns {
  /** The client's proxy at 2,000 requests a second, scraped twice a second. CPU time of the loop's thread. */
  readonly longestMs: number | null;
  readonly series: number;
  readonly scrapes: number;
  readonly topology: Topology;
}

/** Before it is measured, the longest turns are those of the start and of code that is compiled. */
export async function measureTurns(world: World, seconds: number): Promise<Turns> {
  const file = join(world.folder, "turns");
  writeFileSync(file, new Uint8Array(8));
  chmodSync(file, 0o666);
  const topology = "plain";
  const wanted = { variant: "weft", protocol: "http1", topology } as const;
  const deployment = await Deployment.start(world, { ...wanted, turns: { addon: world.native.turns, file } });
  try {
    for (let at = 0; at < EXTRA_SERVICES; at++) {
      const brief = { kind: "http1", connections: 2, streams: 1, rate: 0, warm: 0.3, seconds: 0.3 } as const;
      await run(world, deployment, brief, { service: EXTRA_PORT + at });
    }
    const load = { kind: "http1", connections: 32, streams: 1, rate: 2_000 } as const;
    await run(world, deployment, { ...load, rate: 0, warm: 0.1, seconds: 2 });
    for (let at = 0; at < 5; at++) scrape(world, deployment);
    let series = 0;
    let scrapes = 0;
    writeFileSync(file, new Uint8Array(8), { flag: "r+" });
    const traffic = run(world, deployment, { ...load, warm: 0.2, seconds });
    let over = false;
    const ended = traffic.finally(() => {
      over = true;
    });
    while (!over) {
      series = scrape(world, deployment);
      scrapes++;
      await sleep(500);
    }
    await ended;
    const longest = Number(readFileSync(file).readBigUInt64LE()) / 1e6;
    return { longestMs: rounded(longest, 2), series, scrapes, topology };
  } finally {
    await deployment.stop();
  }
}

/** @returns how many series there are */
function scrape(world: World, { ports }: Deployment): number {
  const text = world.space.run("curl", "-sf", "--max-time", "5", `http://127.0.0.1:${ports.client.admin}/metrics`);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
}
