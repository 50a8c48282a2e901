/** grpc-go on both ends, and grpcurl's library as a client that knows only what reflection tells it, through two proxies and mTLS. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { buildGo } from "./support/go-programs.ts";
import { Pair, SERVICE } from "./support/pair.ts";

const PORT = 8083;
const SERVICE_NAME = "weft.test.Bytes";

describe("gRPC in Go", () => {
  const pair = new Pair({ [PORT]: "detect" });
  let client = "";
  let grpcurl = "";

  before(async () => {
    client = buildGo("./grpc-client");
    grpcurl = buildGo("./grpcurl");
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

  const base64 = (text: string): string => JSON.stringify(Buffer.from(text).toString("base64"));
  const curl = (...argv: string[]): Promise<string> => pair.client.pod.run(grpcurl, [`${SERVICE}:${PORT}`, ...argv]);

  test("grpcurl lists what reflection knows", async () => {
    const services = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", SERVICE_NAME];
    assert.equal(await curl("list"), `${services.join("\n")}\n`);
  });

  for (const [method, sent, came, status] of [
    ["Echo", ["hello"], ["hello"], "OK"],
    ["Chat", ["one", "two", "three"], ["one", "two", "three"], "OK"],
    ["Repeat", ["again"], Array.from({ length: 100 }, () => "again"), "OK"],
    ["Fail", ["x"], [], "FailedPrecondition"],
  ] as const) {
    test(`grpcurl calls ${method}`, async () => {
      const said = await curl(`${SERVICE_NAME}/${method}`, ...sent.map(base64));
      assert.equal(said, [...came.map(base64), `${status} ${came.length}`, ""].join("\n"));
    });
  }
});
