/** grpc-go on both ends, through two proxies and mTLS. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { buildGo } from "./support/go-programs.ts";
import { Pair, SERVICE } from "./support/pair.ts";

const PORT = 8083;

describe("gRPC in Go", () => {
  const pair = new Pair({ [PORT]: "detect" });
  let client = "";

  before(async () => {
    client = buildGo("./grpc-client");
    const server = buildGo("./grpc-server");
    await pair.start();
    await pair.serve(PORT, server, [`0.0.0.0:${PORT}`]);
  });
  after(() => pair.remove());

  for (const name of [
    ...["unary", "large", "many", "metadata", "status", "unimplemented"],
    ...["deadline", "cancel", "client-stream", "server-stream", "chat"],
  ]) {
    test(name, async () => {
      assert.equal(await pair.client.pod.run(client, [`${SERVICE}:${PORT}`, name]), "ok\n");
    });
  }
});
