/** The library `ws` on both ends, through two proxies and mTLS. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Pair, SERVICE } from "./support/pair.ts";
import type { WebSocketResult } from "./support/websocket-client.ts";

const PORT = 8086;
const support = (name: string): string => join(import.meta.dirname, "support", name);

describe("WebSocket", () => {
  const pair = new Pair({ [PORT]: "detect" });

  before(async () => {
    await pair.start();
    await pair.server.pod.start(support("websocket-server.ts"), { argument: PORT });
  });
  after(() => pair.remove());

  async function talk(sizes: readonly number[], closing: string): Promise<WebSocketResult> {
    const argv = [support("websocket-client.ts"), `ws://${SERVICE}:${PORT}/`, sizes.join(","), closing];
    return JSON.parse(await pair.client.pod.run(process.execPath, argv)) as WebSocketResult;
  }

  test("small messages, text and bytes, a ping, an extension and a protocol", async () => {
    const result = await talk([0, 1, 125, 126, 65_535, 65_536], "close 4000 enough");
    assert.deepEqual(
      { ...result, extensions: Object.keys(result.extensions).length > 0 },
      {
        protocol: "second",
        extensions: true,
        same: 6,
        pong: true,
        code: 4_000,
        reason: "enough",
      },
    );
  });

  test("large messages", async () => {
    const { same, code } = await talk([5_000_000, 10_000_000, 16_000_000], "close 1000 ");
    assert.deepEqual({ same, code }, { same: 3, code: 1_000 });
  });

  test("the client's close code comes back from the server", async () => {
    const { code, reason } = await talk([10], "own 3001 farewell");
    assert.deepEqual({ code, reason }, { code: 3_001, reason: "farewell" });
  });

  test("a server that is gone without a word is seen so: 1006", async () => {
    const { same, code } = await talk([10], "terminate");
    assert.deepEqual({ same, code }, { same: 1, code: 1_006 });
  });

  test("many at once", async () => {
    const results = await Promise.all(Array.from({ length: 8 }, () => talk([1_000_000, 300_000], "close 1001 away")));
    for (const { same, code } of results) assert.deepEqual({ same, code }, { same: 2, code: 1_001 });
    assert.deepEqual(
      (await pair.unclean("none")).filter((line) => line.includes("still open")),
      [],
    );
  });
});
