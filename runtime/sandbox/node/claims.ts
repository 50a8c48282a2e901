/** Which sandboxes run on this machine: one file a home, naming the process, so that what a dead one left is found. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { namePrefix } from "./network.ts";

/** Emptied by a restart of the machine, as namespaces are. */
const FOLDER = "/run/weft-sandbox";

interface Claim {
  readonly home: string;
  readonly pid: number;
  /** Clock ticks since boot: tells a process from a later one of the same number. */
  readonly startTime: string;
}

/** A process that was killed takes a moment to be gone: its namespaces go with it. */
const DYING_MS = 2_000;
const DYING_POLL_MS = 20;

/** @throws Error where a living sandbox holds this home */
export async function claimHome(home: string): Promise<void> {
  const holder = await readClaim(namePrefix(home));
  const until = performance.now() + DYING_MS;
  while (holder !== undefined && holder.pid !== process.pid && (await lives(holder))) {
    if (performance.now() > until) {
      throw new Error(`a sandbox with its state in ${home} runs already (process ${holder.pid}): end that one first`);
    }
    await sleep(DYING_POLL_MS);
  }
  await mkdir(FOLDER, { recursive: true });
  const claim: Claim = { home, pid: process.pid, startTime: (await startTimeOf(process.pid)) ?? "" };
  await writeFile(join(FOLDER, namePrefix(home)), JSON.stringify(claim));
}

export async function releaseHome(home: string): Promise<void> {
  await rm(join(FOLDER, namePrefix(home)), { force: true });
}

/** Homes whose sandbox is dead and was not ended in good order. */
export async function abandonedHomes(): Promise<string[]> {
  const homes: string[] = [];
  for (const name of await readdir(FOLDER).catch(() => [])) {
    const claim = await readClaim(name);
    if (claim !== undefined && !(await lives(claim))) homes.push(claim.home);
  }
  return homes;
}

/** Undefined where there is none, or only a part of one. */
async function readClaim(name: string): Promise<Claim | undefined> {
  try {
    return JSON.parse(await readFile(join(FOLDER, name), "utf8")) as Claim;
  } catch {
    return undefined;
  }
}

async function lives({ pid, startTime }: Claim): Promise<boolean> {
  return (await startTimeOf(pid)) === startTime;
}

/** Field 22 of proc(5)'s stat; the name before it may hold blanks and parentheses. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
