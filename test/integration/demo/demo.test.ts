import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";

const main = new URL("../../../runtime/demo/main.ts", import.meta.url).pathname;

interface Agent {
  readonly name: string;
  readonly port: number;
  readonly lines: string[];
  stop(): Promise<number | null>;
}

async function start(name: string, env: Record<string, string> = {}): Promise<Agent> {
  const child = spawn(process.execPath, [main, name], {
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  const output = createInterface(child.stdout);
  const listening = new Promise<number>((resolve) => {
    output.on("line", (line) => {
      lines.push(line);
      const match = /listening on (\d+)|questions a second/.exec(line);
      if (match !== null) resolve(Number(match[1] ?? 0));
    });
  });
  return {
    name,
    port: await listening,
    lines,
    stop: async () => {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      const [code] = (await exited) as [number | null];
      return code;
    },
  };
}

describe("the demo", () => {
  const agents: Agent[] = [];
  let gateway: Agent;
  before(async () => {
    const [search, calculator, store] = await Promise.all([
      start("search-tool"),
      start("calculator-tool"),
      start("store"),
    ]);
    const planner = await start("planner", {
      SEARCH_URL: `http://127.0.0.1:${search.port}`,
      CALCULATOR_URL: `http://127.0.0.1:${calculator.port}`,
      STORE_ADDRESS: `127.0.0.1:${store.port}`,
    });
    gateway = await start("gateway", { PLANNER_URL: `http://127.0.0.1:${planner.port}` });
    agents.push(search, calculator, store, planner, gateway);
  });
  after(async () => {
    const codes = await Promise.all(agents.map((agent) => agent.stop()));
    assert.deepEqual(codes, [0, 0, 0, 0, 0]);
  });

  it("answers a question through planner, tools and store, and remembers it", async () => {
    const ask = async () => {
      const response = await fetch(`http://127.0.0.1:${gateway.port}/ask`, {
        method: "POST",
        body: JSON.stringify({ question: "ab" }),
      });
      return (await response.json()) as { sum: unknown; askedBefore: boolean };
    };
    const first = await ask();
    assert.deepEqual(first.sum, { sum: 195 });
    assert.equal(first.askedBefore, false);
    assert.equal((await ask()).askedBefore, true);
  });

  it("refuses what it does not understand", async () => {
    assert.equal((await fetch(`http://127.0.0.1:${gateway.port}/nothing`)).status, 404);
    assert.equal(
      (await fetch(`http://127.0.0.1:${gateway.port}/ask`, { method: "POST", body: "not json" })).status,
      502,
    );
    const port = agents[2]?.port ?? 0;
    const socket = connect(port, "127.0.0.1", () => socket.end("sing a song\n"));
    socket.setEncoding("utf8");
    let answer = "";
    for await (const chunk of socket) answer += String(chunk);
    assert.equal(answer, "what?\n");
  });

  it("carries load and leaves without losing a question", async () => {
    const load = await start("load", { GATEWAY_URL: `http://127.0.0.1:${gateway.port}`, RATE: "50" });
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(await load.stop(), 0);
    const tally = JSON.parse((load.lines.at(-1) ?? "").replace("load: ", "")) as Record<string, number>;
    assert.deepEqual(Object.keys(tally), ["ok"]);
    assert.ok((tally["ok"] ?? 0) >= 10, JSON.stringify(tally));
  });
});
