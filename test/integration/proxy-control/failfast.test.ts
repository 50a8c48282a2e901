/** Balancers without a ready endpoint (reference 5.9, 9.1): what waits, for how long, and what is shed. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { Server, Socket } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Backend } from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { add, balancer, type EndpointSpec, remove } from "./support/messages.ts";
import {
  hear,
  inOutboundWorld,
  type OutboundWorld,
  pathOf,
  type Reply,
  says,
  VERSIONS,
  type Version,
} from "./support/outbound-world.ts";
import { bytesPolicy, duration, opaqueRoute, policy, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";
const STATUSES = "outbound_http_route_request_statuses_total";

function queued(capacity: number, failfastMs: number): Backend {
  return { ...balancer(pathOf("web")), queue: { capacity, failfastTimeout: duration(failfastMs) } };
}

function isFailfast(reply: Reply, version: Version): void {
  assert.equal(reply.status, 504);
  assert.match(String(reply.headers["l5d-proxy-error"]), /no endpoint could be reached in time/);
  if (version === "HTTP/1.1") assert.equal(reply.headers.connection, "close");
}

function withQueue(
  version: Version,
  backend: Backend,
  run: (world: OutboundWorld, endpoint: EndpointSpec) => Promise<void>,
): Promise<void> {
  return inOutboundWorld(async (world) => {
    const { endpoints } = await world.serve(version, undefined, says("web"));
    world.plane.destination(pathOf("web")).first = [add([])];
    world.plane.policy(TARGET).first = [policy([route([rule(backend)])])];
    // So that what is measured later is the queue, and not discovery.
    await world.ask(version, "/").catch(() => undefined);
    await run(world, endpoints[0] as EndpointSpec);
  });
}

/** An HTTP server that comes and goes at one port. */
class Fickle {
  readonly #version: Version;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();
  port = 0;

  constructor(version: Version) {
    this.#version = version;
  }

  async come(): Promise<void> {
    const answer = (_request: unknown, response: { end(text: string): unknown }): void => {
      response.end("here");
    };
    const server = (this.#version === "HTTP/1.1" ? createHttp1Server(answer) : createHttp2Server(answer)) as Server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
    this.port = (server.address() as { port: number }).port;
    this.#server = server;
  }

  async go(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const gone = once(server, "close");
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await gone;
  }
}

for (const version of VERSIONS) {
  describe(`queues over ${version}`, () => {
    it("fail after the failfast time-out, and then at once, until an endpoint is there", () =>
      withQueue(version, queued(100, 400), async (world, endpoint) => {
        world.plane.destination(pathOf("web")).push(add([endpoint]));
        await sleep(100);
        assert.equal((await world.ask(version, "/")).body, "web");
        world.plane.destination(pathOf("web")).push(remove([endpoint]));
        await sleep(100);
        const before = world.sum("outbound_http_errors_total", 'error="failfast"');
        const waited = await world.ask(version, "/");
        isFailfast(waited, version);
        assert.ok(waited.took >= 390 && waited.took < 1_500, `${waited.took} ms`);
        const fast = await world.ask(version, "/");
        isFailfast(fast, version);
        assert.ok(fast.took < 300, `${fast.took} ms`);
        assert.equal(world.sum("outbound_http_errors_total", 'error="failfast"') - before, 2);
        assert.ok(world.sum(STATUSES, 'http_status="",error="FAIL_FAST"') >= 2);
        const gate = (state: string): number => world.sum(`outbound_http_balancer_queue_gate_${state}_total`);
        const [shut, open] = [gate("shut"), gate("open")];
        assert.ok(shut >= 1);
        world.plane.destination(pathOf("web")).push(add([endpoint]));
        await sleep(100);
        assert.equal((await world.ask(version, "/")).body, "web");
        assert.deepEqual([gate("shut"), gate("open")], [shut, open + 1]);
      }));

    it("hand over what waits as soon as an endpoint is there", () =>
      withQueue(version, queued(100, 3_000), async (world, endpoint) => {
        world.plane.destination(pathOf("web")).push(add([endpoint]));
        await sleep(100);
        world.plane.destination(pathOf("web")).push(remove([endpoint]));
        await sleep(100);
        const asked = [1, 2, 3].map(() => world.ask(version, "/", { method: "POST", body: "x".repeat(20_000) }));
        await sleep(300);
        world.plane.destination(pathOf("web")).push(add([endpoint]));
        for (const { body, took } of await Promise.all(asked)) {
          assert.equal(body, "web");
          assert.ok(took >= 290 && took < 2_000, `${took} ms`);
        }
      }));

    it("let no more wait than they have room for, and fail all that wait together", () =>
      withQueue(version, queued(3, 1_000), async (world, endpoint) => {
        // Out of failfast, in which the first request has left it.
        world.plane.destination(pathOf("web")).push(add([endpoint]));
        await sleep(100);
        world.plane.destination(pathOf("web")).push(remove([endpoint]));
        await sleep(100);
        const first = world.ask(version, "/");
        await sleep(400);
        const later = [1, 2, 3, 4].map(() => world.ask(version, "/"));
        const [one, ...rest] = await Promise.all([first, ...later]);
        assert.ok(one);
        isFailfast(one, version);
        const shed = rest.filter(({ status }) => status === 503);
        const failed = rest.filter(({ status }) => status === 504);
        assert.deepEqual([shed.length, failed.length], [2, 2]);
        for (const reply of shed) {
          assert.match(String(reply.headers["l5d-proxy-error"]), /too many requests wait/);
          assert.ok(reply.took < 400, `shed at once, not after ${reply.took} ms`);
        }
        for (const { took } of failed) assert.ok(took < 900, `with the first, not after ${took} ms of its own`);
        assert.equal(world.sum("outbound_http_errors_total", 'error="loadshed"'), 2);
        assert.equal(world.sum(STATUSES, 'http_status="",error="LOAD_SHED"'), 2);
      }));

    it("go on when an endpoint that refused connections takes them again", () =>
      inOutboundWorld(async (world) => {
        const server = new Fickle(version);
        await server.come();
        try {
          world.plane.destination(pathOf("web")).first = [add([{ ip: "127.0.0.1", port: server.port }])];
          world.plane.policy(TARGET).first = [policy([route([rule(queued(100, 600))])])];
          assert.equal((await world.ask(version, "/")).body, "here");
          await server.go();
          const waited = await world.ask(version, "/");
          isFailfast(waited, version);
          assert.ok(waited.took >= 590 && waited.took < 2_500, `${waited.took} ms`);
          await server.come();
          const end = performance.now() + 5_000;
          let reply = await world.ask(version, "/");
          while (reply.status !== 200 && performance.now() < end) {
            isFailfast(reply, version);
            await sleep(20);
            reply = await world.ask(version, "/");
          }
          assert.equal(reply.body, "here");
        } finally {
          await server.go();
        }
      }));

    it("wait for an endpoint that comes back in time", () =>
      inOutboundWorld(
        async (world) => {
          const server = new Fickle(version);
          await server.come();
          try {
            world.plane.destination(pathOf("web")).first = [add([{ ip: "127.0.0.1", port: server.port }])];
            world.plane.policy(TARGET).first = [policy([route([rule(queued(100, 3_000))])])];
            assert.equal((await world.ask(version, "/")).body, "here");
            await server.go();
            const asked = world.ask(version, "/");
            await sleep(300);
            await server.come();
            const reply = await asked;
            assert.equal(reply.body, "here");
            assert.ok(reply.took >= 290 && reply.took < 1_500, `${reply.took} ms`);
          } finally {
            await server.go();
          }
        },
        { connectBackoff: { minMs: 20, maxMs: 100, jitter: 0 } },
      ));

    it("leave a refusing endpoint alone for as long as the environment says", () =>
      inOutboundWorld(
        async (world) => {
          const server = new Fickle(version);
          await server.come();
          try {
            world.plane.destination(pathOf("web")).first = [add([{ ip: "127.0.0.1", port: server.port }])];
            world.plane.policy(TARGET).first = [policy([route([rule(queued(100, 3_000))])])];
            assert.equal((await world.ask(version, "/")).body, "here");
            await server.go();
            const asked = world.ask(version, "/");
            await sleep(200);
            await server.come();
            const reply = await asked;
            assert.equal(reply.body, "here");
            assert.ok(reply.took >= 790 && reply.took < 2_500, `${reply.took} ms`);
          } finally {
            await server.go();
          }
        },
        { connectBackoff: { minMs: 800, maxMs: 800, jitter: 0 } },
      ));

    it("are as the environment says, where it says something", () =>
      inOutboundWorld(
        async (world) => {
          world.plane.destination(pathOf("web")).first = [add([])];
          world.plane.policy(TARGET).first = [policy([route([rule(queued(100, 10_000))])])];
          const [waits, ...rest] = await Promise.all([1, 2, 3].map(() => world.ask(version, "/")));
          const all = [waits, ...rest].map((reply) => reply?.status).sort();
          assert.deepEqual(all, [503, 503, 504]);
          assert.ok([waits, ...rest].every((reply) => (reply?.took ?? 0) < 2_000));
        },
        { queues: { http: { capacity: 1, failfastMs: 300 }, tcp: {} } },
      ));

    it("are passed by where a route's next backend is ready", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "spare", says("spare"));
        world.plane.destination(pathOf("web")).first = [add([])];
        const first = rule("web");
        const both = [balancer(pathOf("web")), balancer(pathOf("spare"))];
        const backends = both.map((backend) => ({ backend, filters: [], requestTimeout: undefined }));
        first.backends = { kind: { $case: "firstAvailable", value: { backends } } };
        world.plane.policy(TARGET).first = [policy([route([first])])];
        const reply = await world.ask(version, "/");
        assert.equal(reply.body, "spare");
        assert.ok(reply.took < 1_500, `${reply.took} ms`);
      }));
  });
}

describe("queues of connections of bytes", () => {
  async function dialed(world: OutboundWorld): Promise<{ text: string; took: number }> {
    const began = performance.now();
    // A connection may be over before its client knows that it had begun.
    const text = await world.dial().then(
      (socket) => hear(socket, "!").catch(() => ""),
      () => "",
    );
    return { text, took: performance.now() - began };
  }

  it("close after the failfast time-out, and then at once, until an endpoint is there", () =>
    inOutboundWorld(
      async (world) => {
        const endpoint = await world.serveBytes("bytes!");
        world.plane.destination(pathOf("web")).first = [add([])];
        world.plane.policy(TARGET).first = [bytesPolicy(opaqueRoute(balancer(pathOf("web"))))];
        const waited = await dialed(world);
        assert.ok(waited.text === "" && waited.took >= 390 && waited.took < 2_000, `${waited.took} ms`);
        const fast = await dialed(world);
        assert.ok(fast.text === "" && fast.took < 300, `${fast.took} ms`);
        assert.equal(world.sum("outbound_tcp_errors_total", 'error="failfast"'), 2);
        world.plane.destination(pathOf("web")).push(add([endpoint]));
        await sleep(100);
        assert.equal((await dialed(world)).text, "bytes!");
      },
      { queues: { http: {}, tcp: { capacity: 100, failfastMs: 400 } } },
    ));

  it("shed what they have no room for", () =>
    inOutboundWorld(
      async (world) => {
        world.plane.destination(pathOf("web")).first = [add([])];
        world.plane.policy(TARGET).first = [bytesPolicy(opaqueRoute(balancer(pathOf("web"))))];
        const closed = await Promise.all([1, 2, 3].map(() => dialed(world)));
        assert.ok(closed.every(({ text }) => text === ""));
        assert.equal(world.sum("outbound_tcp_errors_total", 'error="loadshed"'), 2);
        assert.equal(world.sum("outbound_tcp_errors_total", 'error="failfast"'), 1);
      },
      { queues: { http: {}, tcp: { capacity: 1, failfastMs: 500 } } },
    ));
});
