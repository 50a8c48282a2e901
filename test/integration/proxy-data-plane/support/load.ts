/** Steady requests over kept connections until told to stop. Run as: load.ts '<LoadOptions>', with an IPC channel. */
import { Agent, request } from "node:http";

export interface LoadOptions {
  readonly url: string;
  readonly connections: number;
  /** Between an answer and the next request of a connection. */
  readonly pauseMs: number;
}

export interface LoadResult {
  readonly answers: number;
  /** Answers by the application that gave them. */
  readonly by: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

const options = JSON.parse(process.argv[2] as string) as LoadOptions;
/** More tell no more. */
const MAX_FAILURES = 50;
const agent = new Agent({ keepAlive: true, maxSockets: options.connections });
const by: Record<string, number> = {};
const failures: string[] = [];
let answers = 0;
let running = true;

/** Not idempotent: nobody may send it twice. */
function once(): Promise<void> {
  return new Promise((resolve) => {
    const fail = (why: string): void => {
      if (failures.length < MAX_FAILURES) failures.push(`${new Date().toISOString()} ${why}`);
      resolve();
    };
    const outgoing = request(
      `${options.url}/slow?ms=2`,
      { method: "POST", agent, headers: { "content-length": 5 } },
      (response) => {
        let body = "";
        response.on("data", (chunk) => {
          body += chunk;
        });
        response.on("end", () => {
          answers++;
          const app = String(response.headers["x-app"]);
          by[app] = (by[app] ?? 0) + 1;
          if (response.statusCode !== 200 || body !== "slow")
            fail(`${response.statusCode} ${response.headers["l5d-proxy-error"]}`);
          else resolve();
        });
        response.on("error", (error) => fail(error.message));
      },
    );
    outgoing.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    outgoing.end("hello");
  });
}

async function run(): Promise<void> {
  while (running) {
    await once();
    await new Promise((resolve) => setTimeout(resolve, options.pauseMs));
  }
}

process.on("message", () => {
  running = false;
});
process.send?.("started");
await Promise.all(Array.from({ length: options.connections }, run));
agent.destroy();
const result: LoadResult = { answers, by, failures };
process.send?.(result, () => process.disconnect());
