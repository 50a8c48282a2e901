/** Endpoints that cannot be connected to (reference 4.5, 5.9): what it costs, and who hears of it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { add, balancer, type EndpointSpec, forward } from "./support/messages.ts";
import { hear, inOutboundWorld, pathOf, says, VERSIONS } from "./support/outbound-world.ts";
import { bytesPolicy, opaqueRoute, policy, route, rule } from "./support/routes.ts";

const TARGET = "192.0.2.7:80";
const CONNECT_MS = 300;
const IMPATIENT = { connectTimeoutMs: CONNECT_MS };

/** Listens, and never accepts. */
const DEAF = `
const server = require("node:net").createServer().listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {
  require("node:fs").writeSync(1, String(server.address().port) + "\\n");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

/** A port whose kernel answers to nobody: its queue is full of connections that nobody accepts. */
class DeafPort {
  readonly #process = spawn(process.execPath, ["-e", DEAF], { stdio: ["ignore", "pipe", "inherit"] });
  readonly #sockets: Socket[] = [];
  endpoint: EndpointSpec = { ip: "127.0.0.1", port: 0 };

  async start(): Promise<void> {
    const [line] = (await once(this.#process.stdout, "data")) as [Buffer];
    const port = Number(line.toString());
    this.endpoint = { ip: "127.0.0.1", port };
    for (let connected = true; connected; ) {
      const socket = connect({ host: "127.0.0.1", port });
      socket.on("error", () => undefined);
      this.#sockets.push(socket);
      connected = await Promise.race([
        once(socket, "connect").then(() => true),
        new Promise<boolean>((resolve) => setTimeout(resolve, 300, false)),
      ]);
      assert.ok(this.#sockets.length < 20, "the queue is never full");
    }
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#process.kill("SIGKILL");
  }
}

describe("an endpoint that does not answer", () => {
  const deaf = new DeafPort();
  before(() => deaf.start());
  after(() => deaf.stop());

  for (const version of VERSIONS) {
    it(`that is the only one there is ends requests over ${version} in the connect time-out`, () =>
      inOutboundWorld(async (world) => {
        world.original = { ip: "192.0.2.7", port: 80 };
        world.plane.policy(TARGET).first = [policy([route([rule(forward(deaf.endpoint))])])];
        world.plane.destination(pathOf("web")).first = [add([])];
        const reply = await world.ask(version, "/");
        assert.equal(reply.status, 504);
        assert.ok(reply.took >= CONNECT_MS - 10 && reply.took < CONNECT_MS + 1_500, `${reply.took} ms`);
        assert.match(String(reply.headers["l5d-proxy-error"]), /127\.0\.0\.1/);
        assert.equal(world.sum("outbound_http_errors_total", 'error="i/o"'), 1);
        assert.equal(world.sum("outbound_http_route_request_statuses_total", 'http_status="",error="IO"'), 1);
      }, IMPATIENT));

    it(`costs requests over ${version} no more than that, and is left alone while there is another one`, () =>
      inOutboundWorld(
        async (world) => {
          const { endpoints } = await world.serve(version, undefined, says("well"));
          world.original = { ip: "192.0.2.7", port: 80 };
          world.plane.destination(pathOf("web")).first = [add([...endpoints, deaf.endpoint])];
          world.plane.policy(TARGET).first = [policy([route([rule("web")])])];
          const slow: number[] = [];
          for (let count = 0; count < 40; count++) {
            const reply = await world.ask(version, "/", { method: "POST", body: "whole" });
            assert.equal(reply.body, "well");
            if (reply.took > CONNECT_MS - 10) slow.push(reply.took);
          }
          // The first of all waits for discovery too.
          assert.ok(slow.length <= 2, `${slow.map(Math.round).join()} ms`);
          assert.equal(world.sum("outbound_http_errors_total"), 0);
        },
        { ...IMPATIENT, connectBackoff: { minMs: 60_000, maxMs: 60_000, jitter: 0 } },
      ));
  }

  it("closes connections of bytes in the connect time-out, where it is the only one", () =>
    inOutboundWorld(async (world) => {
      world.original = { ip: "192.0.2.7", port: 80 };
      world.plane.policy(TARGET).first = [bytesPolicy(opaqueRoute(forward(deaf.endpoint)))];
      const began = performance.now();
      const socket = await world.dial("bytes");
      assert.equal(await hear(socket).catch(() => ""), "");
      const took = performance.now() - began;
      assert.ok(took >= CONNECT_MS - 10 && took < CONNECT_MS + 1_500, `${took} ms`);
      assert.equal(world.sum("outbound_tcp_errors_total", 'error="i/o"'), 1);
    }, IMPATIENT));

  it("costs connections of bytes no more than that while there is another one", () =>
    inOutboundWorld(
      async (world) => {
        const well = await world.serveBytes("well!");
        world.plane.destination(pathOf("web")).first = [add([well, deaf.endpoint])];
        world.original = { ip: "192.0.2.7", port: 80 };
        world.plane.policy(TARGET).first = [bytesPolicy(opaqueRoute(balancer(pathOf("web"))))];
        let slow = 0;
        for (let count = 0; count < 20; count++) {
          const began = performance.now();
          const socket = await world.dial();
          assert.equal(await hear(socket, "!"), "well!");
          socket.destroy();
          if (performance.now() - began > CONNECT_MS - 10) slow++;
        }
        assert.ok(slow <= 2, `${slow} of 20`);
      },
      { ...IMPATIENT, connectBackoff: { minMs: 60_000, maxMs: 60_000, jitter: 0 } },
    ));
});
