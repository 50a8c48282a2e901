/** Runs the load program against a port, and takes the CPU time of proxies over just the time that it measures. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Load } from "./cells.ts";
import type { Deployment } from "./deployment.ts";
import { SERVER_IP, SERVICE_IP } from "./support/namespace.ts";
import type { World } from "./world.ts";

export interface TrafficOptions extends Pick<Load, "kind" | "connections" | "streams" | "rate"> {
  /** Seconds. */
  readonly warm: number;
  readonly seconds: number;
  /** Each exchange on a connection of its own. */
  readonly fresh?: boolean;
  /** Keeps the connections open, idle, so many seconds after; {@link Traffic} resolves before. */
  readonly hold?: number;
}

export interface Traffic {
  readonly done: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of the proxies, all together. */
  readonly cpuMs: number;
  /** Microseconds from when an exchange was due; at a rate only. */
  readonly latencies: Float64Array;
  /** Resolves when the load program has ended. */
  readonly ended: Promise<unknown>;
}

interface Printed {
  readonly done: number;
  readonly failed: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly late: number;
  readonly problem: string;
  readonly samples: number[];
}

/** @param to proxies between; absent: straight to the server's `port`. @throws Error where exchanges failed */
export async function run(
  world: World,
  to: Deployment | number,
  options: TrafficOptions,
  ports?: { readonly service: number },
): Promise<Traffic> {
  const { kind, connections, streams, warm, seconds, rate, fresh = false, hold = 0 } = options;
  const target = typeof to === "number" ? [SERVER_IP, to] : [SERVICE_IP, (ports ?? to.ports).service];
  const argv = [kind, ...target, connections, streams, warm, seconds, rate, ...(fresh ? ["fresh"] : [])].map(String);
  const child = world.space.start(world.native.load, hold > 0 ? [...argv, `hold=${hold}`] : argv);
  const ended = once(child, "exit");
  const cpu = (): number => (typeof to === "number" ? 0 : to.cpuMs());
  const name = `${typeof to === "number" ? "direct" : to.variant}, ${argv.join(" ")}`;
  const deadline = setTimeout(() => child.kill("SIGKILL"), (warm + seconds + hold + 15) * 1_000);
  let begun = 0;
  try {
    if (child.stdout === null) throw new Error("the load has no output");
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === "begin") begun = cpu();
      else return result(JSON.parse(line) as Printed, cpu() - begun, name, ended);
    }
  } finally {
    if (hold === 0) clearTimeout(deadline);
    else ended.then(() => clearTimeout(deadline));
  }
  await ended;
  throw new Error(`the load ended without a result (${name}): see its output above`);
}

function result(printed: Printed, cpuMs: number, name: string, ended: Promise<unknown>): Traffic {
  const { done, failed, bytes, seconds, samples, problem } = printed;
  if (failed > 0) throw new Error(`${failed} exchanges failed (${name}), the last: ${problem}`);
  if (done === 0 && bytes === 0)
    throw new Error(`nothing was answered (${name})${problem === "" ? "" : `: ${problem}`}`);
  return { done, bytes, seconds, cpuMs, latencies: Float64Array.from(samples, (tenths) => tenths / 10), ended };
}
