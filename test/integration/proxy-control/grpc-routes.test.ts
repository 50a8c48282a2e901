/** Routes of gRPC (reference 5.1, 9.4) as a client and its servers see them. */
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { describe, it } from "node:test";
import type { GrpcRoute_Rule } from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { inOutboundWorld, type OutboundWorld, type Reply } from "./support/outbound-world.ts";
import { backoff, grpcPolicy, grpcRule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";
const STATUSES = "outbound_grpc_route_request_statuses_total";

/** An answer with its status in trailers, after a head and `body`. */
function answers(stream: ServerHttp2Stream, status: number, body: string): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(status), "grpc-message": "told" }));
  stream.end(body);
}

/** Serves each call when its message is whole. @returns the messages */
async function serveCalls(
  world: OutboundWorld,
  name: string,
  answer: (stream: ServerHttp2Stream) => void,
): Promise<string[]> {
  const messages: string[] = [];
  await world.serveStreams(name, (stream) => {
    let message = "";
    stream.on("data", (chunk) => {
      message += String(chunk);
    });
    stream.on("end", () => {
      messages.push(message);
      answer(stream);
    });
  });
  return messages;
}

function call(world: OutboundWorld, method: string): Promise<Reply> {
  const headers = { "content-type": "application/grpc", te: "trailers" };
  return world.ask("HTTP/2", method, { method: "POST", headers, body: "message" });
}

describe("routes of gRPC", () => {
  const match = (service: string, method: string): GrpcRoute_Rule["matches"] => [
    { rpc: { service, method }, headers: [] },
  ];
  const conditions = {
    cancelled: false,
    deadineExceeded: false,
    resourceExhausted: false,
    internal: false,
    unavailable: true,
  };

  it("lead by service and method; what has no route is told so in headers", () =>
    inOutboundWorld(async (world) => {
      await serveCalls(world, "web", (stream) => answers(stream, 0, "web"));
      await serveCalls(world, "api", (stream) => answers(stream, 0, "api"));
      world.plane.policy(TARGET).first = [
        grpcPolicy([
          grpcRule("web", { matches: match("shop.Carts", "") }),
          grpcRule("api", { matches: match("shop.Carts", "Add") }),
        ]),
      ];
      assert.equal((await call(world, "/shop.Carts/Add")).body, "api");
      const { body, trailers } = await call(world, "/shop.Carts/Get");
      assert.deepEqual([body, trailers["grpc-status"]], ["web", "0"]);
      const none = await call(world, "/shop.Orders/Get");
      assert.equal(none.status, 200);
      assert.match(String(none.headers["grpc-status"]), /^(5|12)$/);
      assert.equal(world.sum(STATUSES, 'grpc_status="OK"'), 2);
    }));

  it("fail on purpose, with a status of gRPC", () =>
    inOutboundWorld(async (world) => {
      await serveCalls(world, "web", (stream) => answers(stream, 0, "web"));
      const fault = {
        kind: { $case: "failureInjector" as const, value: { code: 8, message: "enough", ratio: undefined } },
      };
      world.plane.policy(TARGET).first = [grpcPolicy([grpcRule("web", { filters: [fault] })])];
      const reply = await call(world, "/shop.Carts/Add");
      assert.deepEqual([reply.status, reply.headers["grpc-status"], reply.body], [200, "8", ""]);
    }));

  it("try again for a status in the trailers, in the head, and not for others", () =>
    inOutboundWorld(async (world) => {
      const failures: ((stream: ServerHttp2Stream) => void)[] = [];
      const messages = await serveCalls(world, "web", (stream) =>
        (failures.shift() ?? ((each) => answers(each, 0, "fine")))(stream),
      );
      const retry = {
        maxRetries: 2,
        maxRequestBytes: 65_536,
        conditions,
        timeout: undefined,
        backoff: backoff(5),
      };
      world.plane.policy(TARGET).first = [grpcPolicy([grpcRule("web", { retry })])];
      const inTrailers = (stream: ServerHttp2Stream): void => answers(stream, 14, "");
      const inHead = (stream: ServerHttp2Stream): void => {
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": "14" },
          { endStream: true },
        );
      };
      failures.push(inTrailers, inHead);
      const { body, trailers } = await call(world, "/shop.Carts/Add");
      assert.deepEqual([body, trailers["grpc-status"]], ["fine", "0"]);
      assert.deepEqual(messages, ["message", "message", "message"]);
      failures.push(inTrailers, inTrailers, inTrailers);
      assert.equal((await call(world, "/shop.Carts/Add")).trailers["grpc-status"], "14");
      failures.push((stream) => answers(stream, 13, ""));
      assert.equal((await call(world, "/shop.Carts/Add")).trailers["grpc-status"], "13");
      // Something of it is with the client already: too late for another try.
      failures.push((stream) => answers(stream, 14, "partly"));
      const partly = await call(world, "/shop.Carts/Add");
      assert.deepEqual([partly.body, partly.trailers["grpc-status"]], ["partly", "14"]);
      assert.equal(world.sum("outbound_grpc_route_retry_requests_total"), 4);
      assert.equal(world.sum(STATUSES, 'grpc_status="OK"'), 1);
      assert.equal(world.sum(STATUSES, 'grpc_status="UNAVAILABLE"'), 2);
      assert.equal(world.sum("outbound_grpc_route_backend_requests_total"), 8);
    }));
});
