/** A network that loses everything in one direction, between two proxies: neither end waits much longer than for a peer that is gone. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Outcome, Scenario } from "./support/http2-client.ts";
import { endpoint, type MeshedPod, SERVICE_IP, sum, TestMesh } from "./support/mesh.ts";

const PORT = 8090;
const support = join(import.meta.dirname, "support");
/** Asked after 8 to 10 s, given up 6 s later; the machine may be busy. Half as long again where a question passes for an answer. */
const MOST_MS = 19_000;

/** By what the server's pod drops. */
const DIRECTIONS = {
  "what the server says is lost": ["OUTPUT", "-o"],
  "what the client says is lost": ["INPUT", "-i"],
} as const;

describe("a partition in one direction", { concurrency: true }, () => {
  for (const [name, [chain, way]] of Object.entries(DIRECTIONS)) {
    describe(name, () => {
      const mesh = new TestMesh();
      let client: MeshedPod;
      let server: MeshedPod;
      before(async () => {
        server = await mesh.add("server");
        const { child } = await server.pod.start(join(support, "http2-application.ts"), { argument: PORT });
        server.application = child;
        const target = { endpoints: [endpoint(server, PORT)] };
        client = await mesh.add("client", { targets: { [`${SERVICE_IP}:${PORT}`]: target } });
      });
      after(() => mesh.remove());

      test("the connection ends at both ends, and the client hears of it", async () => {
        const scenario: Scenario = {
          url: `http://${SERVICE_IP}:${PORT}`,
          headers: { ":path": "/slow?ms=60000", ":method": "GET" },
        };
        const under = client.pod.run(process.execPath, [join(support, "http2-client.ts"), JSON.stringify(scenario)]);
        const between = (): Promise<number>[] => [
          sum(client.proxy, "tcp_open_connections", 'direction="outbound",peer="dst"'),
          sum(server.proxy, "tcp_open_connections", 'direction="inbound",peer="src"'),
        ];
        while ((await Promise.all(between())).some((open) => open === 0)) await sleep(50);
        await sleep(200);
        await server.pod.run("iptables", ["-I", chain, way, "eth0", "-j", "DROP"]);
        const began = performance.now();
        const took = [0, 0];
        while (took.includes(0) && performance.now() - began < 40_000) {
          for (const [end, open] of (await Promise.all(between())).entries()) {
            if (open === 0) took[end] ||= performance.now() - began;
          }
          await sleep(100);
        }
        const [outcome] = JSON.parse(await under) as Outcome[];
        assert.equal(outcome?.status, 502);
        for (const ms of took) assert.ok(ms > 0 && ms < MOST_MS, `after ${took.map(Math.round).join(" and ")} ms`);
      });
    });
  }
});
