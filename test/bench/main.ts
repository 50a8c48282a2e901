/**
 * The proxy beside nginx and haproxy, interleaved in one run: CPU, latency, memory, start-up, new connections, turns of the loop.
 * Writes REPORT.md, report.json and plot.svg beside this file.
 *
 *   node test/bench/main.ts [--quick] [--only weft,nginx,http1,mtls,saturation,…] [--rounds 6] [--seconds 3] [--hint h2|none]
 *                           [--no-build] [--output FOLDER] [--profile FOLDER]
 *
 * --only takes names of variants, protocols, topologies, loads and parts (memory, startup, connections, turns), comma-separated; of
 * each kind that it names none, all are measured, but parts only where none of another kind is named. --profile runs our proxies from
 * source and writes a CPU profile of each into FOLDER. Needs root; nginx and haproxy are installed where they are missing.
 */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "../../scripts/build.ts";
import { type LoadName, PROTOCOLS, TOPOLOGIES, VARIANTS } from "./cells.ts";
import {
  measureConnections,
  measureMemory,
  measureStartup,
  measureTurns,
  type NewConnections,
  type Startup,
  type Turns,
  type VariantMemory,
} from "./extras.ts";
import type { Report } from "./figures.ts";
import { writeReport } from "./report.ts";
import { measureRows, type Row } from "./rows.ts";
import { requireTools, versionOf } from "./support/tools.ts";
import { bundleSize } from "./support/weft.ts";
import { World } from "./world.ts";

const LOAD_NAMES: readonly LoadName[] = ["saturation", "saturation-32x1", "200", "2000"];
const PARTS = ["memory", "startup", "connections", "turns"] as const;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    hint: { type: "string", default: "h2" },
    build: { type: "boolean", default: true },
    output: { type: "string", default: import.meta.dirname },
    profile: { type: "string" },
  },
  allowNegative: true,
});

const quick = values.quick;
const plan = quick
  ? {
      rounds: 2,
      saturation: 1,
      rate: 1.4,
      warm: 1.2,
      startups: 5,
      connections: { rounds: 2, seconds: 1 },
      idleMs: 12_000,
      turns: 4,
    }
  : {
      rounds: 6,
      saturation: 3,
      rate: 5,
      warm: 3,
      startups: 11,
      connections: { rounds: 5, seconds: 3 },
      idleMs: 25_000,
      turns: 20,
    };
/** What the budget of memory after saturation means. */
const SATURATION_S = 60;

function chosen(): {
  pick: <T extends string>(all: readonly T[]) => T[];
  part: (name: (typeof PARTS)[number]) => boolean;
  rows: boolean;
} {
  const names = values.only.split(",").filter(Boolean);
  const known: readonly string[] = [...VARIANTS, ...PROTOCOLS, ...TOPOLOGIES, ...LOAD_NAMES, ...PARTS];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`--only knows ${known.join(", ")}; not ${unknown.join(", ")}`);
  const parts: readonly string[] = PARTS.filter((part) => names.includes(part));
  const cells = names.some((name) => !PARTS.some((part) => part === name) && !VARIANTS.some((one) => one === name));
  return {
    pick: (all) => {
      const some = all.filter((one) => names.includes(one));
      return some.length > 0 ? some : [...all];
    },
    part: (name) => (parts.length > 0 ? parts.includes(name) : !cells),
    rows: cells || parts.length === 0,
  };
}

function wholeNumber(text: string | undefined, otherwise: number, option: string): number {
  const number = text === undefined ? otherwise : Number(text);
  if (!(number > 0)) throw new Error(`${option} wants a number above 0, not "${text}"`);
  return number;
}

const log = (line: string): void => console.log(`bench: ${line}`);

async function measure(world: World): Promise<Report> {
  const { pick, part, rows: withRows } = chosen();
  const variants = pick(VARIANTS);
  const seconds = wholeNumber(values.seconds, plan.saturation, "--seconds");
  const rounds = wholeNumber(values.rounds, plan.rounds, "--rounds");
  const began = performance.now();
  let rows: Row[] = [];
  if (withRows) {
    rows = await measureRows(world, {
      protocols: pick(PROTOCOLS),
      topologies: pick(TOPOLOGIES),
      variants,
      loads: pick(LOAD_NAMES),
      rounds,
      saturationSeconds: seconds,
      rateSeconds: values.seconds === undefined ? plan.rate : seconds,
      warmSeconds: plan.warm,
      ...(values.profile === undefined ? {} : { profile: resolve(values.profile) }),
      log,
    });
  }
  let startup: Startup[] = [];
  let connections: NewConnections[] = [];
  let turns: Turns | null = null;
  const memory: VariantMemory[] = [];
  if (part("startup")) {
    log("start-up");
    startup = await measureStartup(world, variants, plan.startups);
  }
  if (part("connections")) {
    log("new connections");
    connections = await measureConnections(world, variants, plan.connections);
  }
  if (part("turns") && variants.includes("weft")) {
    log("turns of the loop");
    turns = await measureTurns(world, plan.turns);
  }
  if (part("memory")) {
    for (const variant of variants) {
      const ours = variant === "weft";
      log(`memory of ${variant}`);
      const saturationSeconds = ours || !quick ? SATURATION_S : 0;
      memory.push(await measureMemory(world, variant, { idleMs: ours ? plan.idleMs : 1_000, saturationSeconds }));
    }
  }
  return {
    rows,
    startup,
    connections,
    turns,
    memory,
    bundleBytes: bundleSize(),
    date: new Date().toISOString(),
    command: `npm run bench${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(" ")}` : ""}`,
    seconds: Math.round((performance.now() - began) / 1_000),
    machine: {
      processor: cpus()[0]?.model ?? "unknown",
      cores: cpus().length,
      kernel: execFileSync("uname", ["-r"], { encoding: "utf8" }).trim(),
      node: process.version,
      nginx: versionOf("nginx"),
      haproxy: versionOf("haproxy"),
    },
    hint: values.hint === "none" ? "none" : "h2",
  };
}

async function main(): Promise<void> {
  if (values.hint !== "h2" && values.hint !== "none") throw new Error(`--hint takes h2 or none, not "${values.hint}"`);
  requireTools(chosen().pick(VARIANTS));
  if (values.build) build({ only: "proxy,loader", log: () => undefined });
  const world = new World({ hint: values.hint });
  process.once("exit", () => world.end());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
  await world.start();
  const report = await measure(world);
  writeReport(report, resolve(values.output));
  log(`done in ${report.seconds} s; REPORT.md, report.json and plot.svg are in ${resolve(values.output)}`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
