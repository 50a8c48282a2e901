/** The load, a process in the soak's namespace: `load.ts '<LoadRates>'` with an IPC channel. Tells its {@link LoadCounts} each second; ends when it is told `stop`. */
import { setTimeout as sleep } from "node:timers/promises";
import { type LoadCounts, type LoadRates, problems } from "./counts.ts";
import { Http1Load } from "./http1-load.ts";
import { Http2Load } from "./http2-load.ts";
import { TcpLoad } from "./tcp-load.ts";

const TURN_MS = 5;
/** What is due for longer is left out: a machine that stood still is no reason for a burst. */
const BACKLOG_S = 0.5;
const GOING_MS = 60_000;
/** From nothing to the whole rate: the first requests are slow on both sides. */
const RAMP_S = 10;

const rates = JSON.parse(process.argv[2] ?? "") as LoadRates;
const loads = { http1: new Http1Load(), http2: new Http2Load(), tcp: new TcpLoad() } as const;
const names = ["http1", "http2", "tcp"] as const;
const owed = { http1: 0, http2: 0, tcp: 0 };
let skipped = 0;
const began = performance.now();
let last = began;

function counts(): LoadCounts {
  const { http1, http2, tcp } = loads;
  return {
    http1: http1.tally.outcomes,
    http2: http2.tally.outcomes,
    tcp: tcp.tally.outcomes,
    connections: http1.connections + http2.connections + tcp.connections,
    skipped: Math.round(skipped),
    problems,
  };
}

const pace = setInterval(() => {
  const now = performance.now();
  const ramp = Math.min((now - began) / 1_000 / RAMP_S, 1);
  for (const name of names) {
    owed[name] += (ramp * rates[name] * (now - last)) / 1_000;
    const most = Math.max(rates[name] * BACKLOG_S, 1);
    if (owed[name] > most) {
      skipped += owed[name] - most;
      owed[name] = most;
    }
    for (; owed[name] >= 1; owed[name]--) loads[name].send();
  }
  last = now;
}, TURN_MS);
const telling = setInterval(() => process.send?.(counts()), 1_000);

async function stop(): Promise<void> {
  clearInterval(pace);
  const late = performance.now() + GOING_MS;
  while (names.some((name) => loads[name].open > 0) && performance.now() < late) await sleep(20);
  for (const name of names) if (loads[name].open > 0) loads[name].tally.fail(`${loads[name].open} never ended`);
  clearInterval(telling);
  loads.http1.close();
  loads.http2.close();
  process.send?.(counts(), () => process.exit(0));
}

process.on("message", (message) => {
  if (message === "stop") void stop();
});
process.on("disconnect", () => process.exit(0));
