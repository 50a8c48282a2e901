/**
 * Where our proxies' CPU time goes, out of what `npm run bench -- --profile FOLDER` has left there: self time by room, as shares of a
 * request's cost. Prints a table for each pair of protocol and topology.
 *
 *   node test/bench/costs.ts FOLDER
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  /** Microseconds. */
  readonly timeDeltas: readonly number[];
}

const root = join(import.meta.dirname, "../..", sep);

/** What a frame is counted under; undefined: no work. */
function placeOf({ functionName, url }: ProfileNode["callFrame"]): string | undefined {
  if (functionName === "(idle)") return undefined;
  if (functionName === "(garbage collector)") return "garbage collection";
  if (functionName === "writeBuffer") return "writes: encryption, send(2)";
  if (url === "") return "reads and the loop: decryption, recv(2), epoll_wait(2), V8's own";
  if (url.startsWith("node:")) return "Node's JavaScript";
  const path = url.startsWith("file:") ? fileURLToPath(url) : url;
  const inside = path.startsWith(root) ? path.slice(root.length) : path;
  const room = /^runtime\/(?:proxy\/[^/.]+|wire\/[^/.]+|[^/]+)/.exec(inside)?.[0];
  return room ?? inside;
}

/** Self time of each place, microseconds, of one profile from `warm` (a share of its length) on. */
function selfTimes(profile: Profile, warm: number): Map<string, number> {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const times = new Map<string, number>();
  const total = profile.timeDeltas.reduce((sum, delta) => sum + delta, 0);
  let at = 0;
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index] ?? 0;
    at += delta;
    const place = frames.get(id);
    if (place !== undefined && at > warm * total) times.set(place, (times.get(place) ?? 0) + delta);
  });
  return times;
}

function profilesOf(folder: string): Profile[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".cpuprofile"))
    .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Profile);
}

/** Starting and compiling are at the beginning. */
const WARM_SHARE = 0.3;

function main(folder: string | undefined): void {
  if (folder === undefined) throw new Error("costs.ts wants the folder that `npm run bench -- --profile` was given");
  const sides = readdirSync(folder).filter((name) => /-(?:outbound|inbound)$/.test(name));
  const pairs = [...new Set(sides.map((name) => name.replace(/-[^-]+$/, "")))].sort();
  if (pairs.length === 0) throw new Error(`no profiles in ${folder}`);
  for (const pair of pairs) {
    const times = new Map<string, number>();
    for (const side of sides.filter((name) => name.replace(/-[^-]+$/, "") === pair))
      for (const profile of profilesOf(join(folder, side)))
        for (const [place, micros] of selfTimes(profile, WARM_SHARE))
          times.set(place, (times.get(place) ?? 0) + micros);
    const all = [...times.values()].reduce((sum, micros) => sum + micros, 0);
    console.log(`### ${pair}\n\n| where | share |\n| --- | --- |`);
    for (const [place, micros] of [...times].sort((a, b) => b[1] - a[1]).slice(0, 16))
      console.log(`| ${place} | ${((100 * micros) / all).toFixed(1)} % |`);
    console.log("");
  }
}

main(process.argv[2]);
