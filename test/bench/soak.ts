/**
 * An hour of load on two proxies with mTLS between them: is their memory flat, and does every request arrive?
 * Writes SOAK.md and soak.json beside this file; exit code 1 where something failed or grew.
 *
 *   node test/bench/soak.ts [--minutes 60] [--rate 2000] [--leaf-minutes 20] [--no-build] [--output FOLDER]
 *
 * Needs root, nginx and nghttpd, which are installed where they are missing. What counts as flat: soak/verdict.ts.
 */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build } from "../../scripts/build.ts";
import { Ground, type Side, type SoakLoad } from "./soak/ground.ts";
import { writeSoak } from "./soak/report.ts";
import { type ProxySample, sampleOf } from "./soak/sample.ts";
import { checksOf, type SoakSample } from "./soak/verdict.ts";
import { requireTools } from "./support/tools.ts";

const SAMPLE_S = 15;
const SETTLE_MS = 10_000;
/** Longer than pools keep a connection that nobody uses, and than a proxy waits before it tidies up. */
const QUIET_MS = 100_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    rate: { type: "string", default: "2000" },
    "leaf-minutes": { type: "string", default: "20" },
    build: { type: "boolean", default: true },
    output: { type: "string", default: import.meta.dirname },
  },
  allowNegative: true,
});

function positive(text: string, option: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`${option} wants a number above 0, not "${text}"`);
  return number;
}

function look(ground: Ground): Record<Side, ProxySample> {
  const one = (side: Side): ProxySample => sampleOf(ground.pid(side), ground.metrics(side));
  return { outbound: one("outbound"), inbound: one("inbound") };
}

function tell({ at, load, proxies: { outbound, inbound } }: SoakSample): void {
  const mib = ({ anonymousKiB, rssKiB }: ProxySample): string =>
    `${(anonymousKiB / 1_024).toFixed(1)}/${(rssKiB / 1_024).toFixed(1)} MiB`;
  const all = [load.http1, load.http2, load.tcp];
  const sum = (name: "done" | "cancelled" | "failed"): number => all.reduce((total, one) => total + one[name], 0);
  console.log(
    `soak: ${String(at).padStart(5)} s  out ${mib(outbound)} ${outbound.fds} fds ${outbound.series} series  in ${mib(inbound)} ${inbound.fds} fds ${inbound.series} series  done ${sum("done")} given up ${sum("cancelled")} failed ${sum("failed")} skipped ${load.skipped}${sum("failed") > 0 ? `  last: ${load.problems.at(-1)}` : ""}`,
  );
}

async function watch(ground: Ground, load: SoakLoad, seconds: number): Promise<SoakSample[]> {
  const samples: SoakSample[] = [];
  const began = performance.now();
  for (let due = SAMPLE_S; due <= seconds; due += SAMPLE_S) {
    await sleep(Math.max(began + due * 1_000 - performance.now(), 0));
    const sample = { at: due, load: load.counts, proxies: look(ground) };
    samples.push(sample);
    tell(sample);
  }
  return samples;
}

async function main(): Promise<boolean> {
  const minutes = positive(values.minutes, "--minutes");
  const rate = positive(values.rate, "--rate");
  const leafMinutes = positive(values["leaf-minutes"], "--leaf-minutes");
  const rates = { http1: rate / 2, http2: rate / 2, tcp: rate / 400 };
  requireTools(["nginx", "nghttpd"]);
  if (values.build) build({ only: "proxy,loader", log: () => undefined });
  const ground = new Ground();
  process.once("exit", () => ground.end());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
  await ground.start(leafMinutes * 60_000);
  await sleep(SETTLE_MS);
  const before = look(ground);
  const seconds = minutes * 60;
  const load = ground.load(rates);
  const samples = await watch(ground, load, seconds);
  const ended = await load.stop();
  const last = samples.at(-1);
  // What failed while the load ended counts.
  if (last !== undefined) samples[samples.length - 1] = { ...last, load: ended };
  console.log(`soak: the load is over; quiet for ${QUIET_MS / 1_000} s`);
  await sleep(QUIET_MS);
  const quiet = { before, after: look(ground) };
  const checks = checksOf(samples, seconds, rates, quiet);
  const text = (command: string, ...argv: string[]): string => execFileSync(command, argv, { encoding: "utf8" }).trim();
  writeSoak(
    {
      date: new Date().toISOString(),
      command: `npm run soak${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(" ")}` : ""}`,
      commit: text("git", "-C", import.meta.dirname, "rev-parse", "--short", "HEAD"),
      machine: {
        processor: cpus()[0]?.model ?? "unknown",
        cores: cpus().length,
        kernel: text("uname", "-r"),
        node: process.version,
      },
      seconds,
      rates,
      leafLifeMinutes: leafMinutes,
      checks,
      quiet,
      samples,
    },
    resolve(values.output),
  );
  for (const { what, passed, why } of checks) console.log(`soak: ${passed ? "passed" : "FAILED"}: ${what} (${why})`);
  return checks.every(({ passed }) => passed);
}

main().then(
  (passed) => process.exit(passed ? 0 : 1),
  (error: unknown) => {
    console.error(`soak: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
