/** CPU and latency: every protocol, topology and load, variants in turn. */
import { LOADS, type Load, type LoadName, type Protocol, SERVER_PORT, type Topology, type Variant } from "./cells.ts";
import { Deployment } from "./deployment.ts";
import { median, percentile, pool, rounded } from "./statistics.ts";
import { run, type Traffic } from "./traffic.ts";
import type { World } from "./world.ts";

/** One line of report.json. What does not apply is null. */
export interface Row {
  readonly protocol: Protocol;
  readonly topology: Topology;
  readonly load: LoadName;
  readonly variant: Variant;
  readonly cpuMicrosPerRequest: number | null;
  readonly cpuMillisPerMegabyte: number | null;
  /** Percentiles less the same of clients that dial the server itself. */
  readonly addedP50Micros: number | null;
  readonly addedP99Micros: number | null;
  readonly addedP999Micros: number | null;
  /** Requests, or megabytes, a second. */
  readonly perSecond: number | null;
  readonly runs: number;
}

export interface RowsOptions {
  readonly protocols: readonly Protocol[];
  readonly topologies: readonly Topology[];
  readonly variants: readonly Variant[];
  readonly loads: readonly LoadName[];
  readonly rounds: number;
  /** Seconds that a load is measured. */
  readonly saturationSeconds: number;
  readonly rateSeconds: number;
  readonly warmSeconds: number;
  readonly profile?: string;
  readonly log: (line: string) => void;
}

type Key = string;
const MEGABYTE = 1e6;
/** Connections are made and code is warm before a load is measured. */
const LOAD_WARM_S = 0.3;

export async function measureRows(world: World, options: RowsOptions): Promise<Row[]> {
  const taken = new Map<Key, { row: Pick<Row, "protocol" | "topology" | "load" | "variant">; runs: Traffic[] }>();
  const direct = new Map<Key, Traffic[]>();
  for (let round = 1; round <= options.rounds; round++) {
    for (const protocol of options.protocols) {
      options.log(`round ${round} of ${options.rounds}: ${protocol}`);
      const deployed = await deploy(world, protocol, options);
      try {
        for (const { deployment } of deployed) await warmUp(world, deployment, protocol, options.warmSeconds);
        for (const load of LOADS[protocol].filter(({ name }) => options.loads.includes(name))) {
          const seconds = load.rate > 0 ? options.rateSeconds : options.saturationSeconds;
          const how = { ...load, warm: LOAD_WARM_S, seconds };
          if (load.rate > 0) keep(direct, `${protocol} ${load.name}`, await run(world, SERVER_PORT[protocol], how));
          // Nobody is always the first after the pause.
          for (const { deployment, topology } of rotate(deployed, round)) {
            const row = { protocol, topology, load: load.name, variant: deployment.variant };
            const key = Object.values(row).join(" ");
            const entry = taken.get(key) ?? { row, runs: [] };
            entry.runs.push(await run(world, deployment, how));
            taken.set(key, entry);
          }
        }
      } finally {
        const profiled = options.profile !== undefined;
        await Promise.all(deployed.map(({ deployment }) => deployment.stop(profiled)));
      }
    }
  }
  return [...taken.values()].map(({ row, runs }) =>
    summarize(row, runs, direct.get(`${row.protocol} ${row.load}`) ?? []),
  );
}

/** Exported for its test. */
export function summarize(
  row: Pick<Row, "protocol" | "topology" | "load" | "variant">,
  runs: readonly Pick<Traffic, "done" | "bytes" | "seconds" | "cpuMs" | "latencies">[],
  direct: readonly Pick<Traffic, "latencies">[],
): Row {
  const streamed = row.protocol === "tcp" && row.load === "saturation";
  const units = (run: Pick<Traffic, "done" | "bytes">): number => (streamed ? run.bytes / MEGABYTE : run.done);
  const cpu = median(runs.map((one) => one.cpuMs / units(one)));
  const through = pool(runs.map(({ latencies }) => latencies));
  const straight = pool(direct.map(({ latencies }) => latencies));
  const added = (share: number): number | null => rounded(percentile(through, share) - percentile(straight, share), 1);
  return {
    ...row,
    cpuMicrosPerRequest: streamed ? null : rounded(cpu * 1_000),
    cpuMillisPerMegabyte: streamed ? rounded(cpu, 3) : null,
    addedP50Micros: added(0.5),
    addedP99Micros: added(0.99),
    addedP999Micros: added(0.999),
    perSecond: rounded(median(runs.map((one) => units(one) / one.seconds)), 0),
    runs: runs.length,
  };
}

async function deploy(
  world: World,
  protocol: Protocol,
  { topologies, variants, profile }: RowsOptions,
): Promise<{ topology: Topology; deployment: Deployment }[]> {
  const deployed: { topology: Topology; deployment: Deployment }[] = [];
  for (const topology of topologies)
    for (const variant of variants) {
      const wanted = { protocol, topology, variant, ...(profile === undefined ? {} : { profile }) };
      deployed.push({ topology, deployment: await Deployment.start(world, wanted) });
    }
  return deployed;
}

/** Compiled code is what is compared: of every kind of load that follows. */
async function warmUp(world: World, deployment: Deployment, protocol: Protocol, seconds: number): Promise<void> {
  const kinds = new Map<string, Load>(LOADS[protocol].map((load) => [load.kind, load]));
  for (const load of kinds.values()) {
    await run(world, deployment, { ...load, rate: 0, warm: 0.1, seconds: seconds / kinds.size });
  }
}

function keep(map: Map<Key, Traffic[]>, key: Key, traffic: Traffic): void {
  map.set(key, [...(map.get(key) ?? []), traffic]);
}

function rotate<T>(items: readonly T[], by: number): T[] {
  const at = by % Math.max(items.length, 1);
  return [...items.slice(at), ...items.slice(0, at)];
}
