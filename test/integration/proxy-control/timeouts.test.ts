/** Time-outs of routes (reference 5.9, 9.5): what a client gets, over HTTP/1 and HTTP/2, and where it is counted. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Timeouts } from "../../../runtime/api/gen/io/linkerd/proxy/http_route.ts";
import type { HttpRoute_Rule } from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import {
  type Answering,
  type Handler,
  inOutboundWorld,
  type OutboundWorld,
  type Reply,
  VERSIONS,
  type Version,
} from "./support/outbound-world.ts";
import { duration, httpRetry, policy, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";
const STATUSES = "outbound_http_route_request_statuses_total";
const TRIES = "outbound_http_route_backend_response_statuses_total";

type Ms = Partial<Record<keyof Timeouts, number>>;

function timeouts({ request, response, idle }: Ms): HttpRoute_Rule["timeouts"] {
  const of = (ms: number | undefined) => (ms === undefined ? undefined : duration(ms));
  return { request: of(request), response: of(response), idle: of(idle) };
}

/** Never for less than so long, and a good deal sooner than the server would have been. */
function tookAbout(reply: Reply, ms: number): void {
  assert.ok(reply.took >= ms - 5 && reply.took < ms + 1_500, `${Math.round(reply.took)} ms, not about ${ms}`);
}

const never: Handler = () => undefined;

const later =
  (ms: number, answer: (response: Answering) => void): Handler =>
  (_request, response) =>
    void setTimeout(() => {
      if (response.writable) answer(response);
    }, ms).unref();

/** The head and a piece at once, further pieces every `ms`. */
const drips =
  (ms: number, pieces: number): Handler =>
  (_request, response) => {
    response.write("0");
    for (let piece = 1; piece <= pieces; piece++) {
      setTimeout(() => {
        if (response.writable) response.write(String(piece));
        if (piece === pieces) response.end();
      }, piece * ms).unref();
    }
  };

function retry({ timeout, max = 1 }: { timeout?: number; max?: number } = {}): HttpRoute_Rule["retry"] {
  return httpRetry({ maxRetries: max, timeout: timeout === undefined ? undefined : duration(timeout) });
}

function withRule(
  version: Version,
  parts: Partial<HttpRoute_Rule>,
  handler: Handler,
  run: (world: OutboundWorld) => Promise<void>,
): Promise<void> {
  return inOutboundWorld(async (world) => {
    await world.serve(version, "web", handler);
    world.plane.policy(TARGET).first = [policy([route([rule("web", parts)])])];
    await run(world);
  });
}

for (const version of VERSIONS) {
  describe(`time-outs over ${version}`, () => {
    it("of the request: 504 before the answer's head, and the connection goes on", () =>
      withRule(version, { timeouts: timeouts({ request: 150 }) }, never, async (world) => {
        const reply = await world.ask(version, "/");
        tookAbout(reply, 150);
        assert.equal(reply.status, 504);
        assert.match(String(reply.headers["l5d-proxy-error"]), /time-out of the route: request/);
        assert.notEqual(reply.headers.connection, "close");
        assert.equal(world.sum(STATUSES, 'http_status="",error="REQUEST_TIMEOUT"'), 1);
        assert.equal(world.sum(TRIES, 'http_status="",error="REQUEST_TIMEOUT"'), 1);
        assert.equal(world.sum("outbound_http_errors_total", 'error="response timeout"'), 1);
        assert.equal(world.sum("response_total", 'status_code="504"', 'classification="failure"'), 1);
      }));

    it("of the request: an answer that is under way is broken off", () =>
      withRule(version, { timeouts: timeouts({ request: 250 }) }, drips(50, 100), async (world) => {
        const reply = await world.ask(version, "/");
        tookAbout(reply, 250);
        assert.deepEqual([reply.status, reply.whole], [200, false]);
        assert.match(reply.body, /^0123/);
        assert.equal(world.sum(STATUSES, 'error="REQUEST_TIMEOUT"'), 1);
        assert.equal(world.sum(TRIES, 'error="REQUEST_TIMEOUT"'), 1);
      }));

    it("of the request: a body that does not end counts too", () =>
      withRule(version, { timeouts: timeouts({ request: 150 }) }, never, async (world) => {
        const reply = await world.ask(version, "/", { method: "POST", body: "begun", unended: true });
        tookAbout(reply, 150);
        assert.equal(reply.status, 504);
      }));

    it("of the request: the wait for an endpoint and all tries count", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web");
        const parts = { timeouts: timeouts({ request: 300 }), retry: retry({ max: 50 }) };
        const own = policy([route([rule("web", parts)])]);
        world.plane.policy(TARGET).first = [own];
        const waited = await world.ask(version, "/");
        tookAbout(waited, 300);
        assert.equal(waited.status, 504);
        assert.match(String(waited.headers["l5d-proxy-error"]), /time-out of the route: request/);
      }));

    it("of the response: it begins with the request's end, however long that takes", () =>
      withRule(version, { timeouts: timeouts({ response: 250 }) }, never, async (world) => {
        const quiet = await world.ask(version, "/");
        tookAbout(quiet, 250);
        assert.equal(quiet.status, 504);
        assert.match(String(quiet.headers["l5d-proxy-error"]), /time-out of the route: response/);
        assert.equal(world.sum(STATUSES, 'error="RESPONSE_STREAM_TIMEOUT"'), 1);
        assert.equal(world.sum(TRIES, 'error="RESPONSE_STREAM_TIMEOUT"'), 1);
        const uploading = world.ask(version, "/", { method: "POST", body: "begun", unended: true });
        const first = await Promise.race([uploading, new Promise((resolve) => setTimeout(resolve, 600, "still"))]);
        assert.equal(first, "still");
      }));

    it("of the response: an answer that does not end is broken off", () =>
      withRule(version, { timeouts: timeouts({ response: 250 }) }, drips(50, 100), async (world) => {
        const reply = await world.ask(version, "/");
        tookAbout(reply, 250);
        assert.deepEqual([reply.status, reply.whole], [200, false]);
        assert.equal(world.sum(STATUSES, 'error="RESPONSE_STREAM_TIMEOUT"'), 1);
      }));

    it("of the response: each try has its own", () => {
      let tries = 0;
      const handler: Handler = (request, response) =>
        later(600, (answer) => {
          answer.statusCode = tries++ === 0 ? 503 : 200;
          answer.end();
        })(request, response);
      return withRule(version, { timeouts: timeouts({ response: 1_000 }), retry: retry() }, handler, async (world) => {
        const reply = await world.ask(version, "/");
        assert.equal(reply.status, 200);
        tookAbout(reply, 1_205);
      });
    });

    it("of idleness: bytes either way put it off, silence breaks the answer off", () =>
      withRule(version, { timeouts: timeouts({ idle: 800 }) }, drips(250, 4), async (world) => {
        const steady = await world.ask(version, "/");
        assert.deepEqual([steady.body, steady.whole], ["01234", true]);
      }));

    it("of idleness: silence within the answer breaks it off", () =>
      withRule(version, { timeouts: timeouts({ idle: 200 }) }, drips(5_000, 2), async (world) => {
        const reply = await world.ask(version, "/");
        tookAbout(reply, 200);
        assert.deepEqual([reply.status, reply.body, reply.whole], [200, "0", false]);
        assert.equal(world.sum(STATUSES, 'error="IDLE_TIMEOUT"'), 1);
        assert.equal(world.sum(TRIES, 'error="IDLE_TIMEOUT"'), 1);
      }));

    it("of idleness: 504 where the answer's head does not come", () =>
      withRule(version, { timeouts: timeouts({ idle: 200 }) }, never, async (world) => {
        const reply = await world.ask(version, "/");
        tookAbout(reply, 200);
        assert.equal(reply.status, 504);
        assert.match(String(reply.headers["l5d-proxy-error"]), /time-out of the route: idle/);
        assert.equal(world.sum(STATUSES, 'http_status="",error="IDLE_TIMEOUT"'), 1);
      }));

    it("of idleness: the answer's head is a sign of life", () =>
      withRule(
        version,
        { timeouts: timeouts({ idle: 1_000 }) },
        later(600, (response) => {
          response.write("");
          (response as Answering & { flushHeaders?: () => void; writeHead(status: number): void }).flushHeaders?.();
          setTimeout(() => response.end("late"), 600).unref();
        }),
        async (world) => {
          const reply = await world.ask(version, "/");
          assert.deepEqual([reply.status, reply.body, reply.whole], [200, "late", true]);
        },
      ));

    it("of a try: the next one may be quicker", () => {
      let slow = 1;
      const handler: Handler = (request, response) =>
        slow-- > 0 ? never(request, response) : void response.end("quick");
      return withRule(version, { retry: retry({ timeout: 150, max: 2 }) }, handler, async (world) => {
        const reply = await world.ask(version, "/");
        tookAbout(reply, 155);
        assert.equal(reply.body, "quick");
        assert.equal(world.sum(TRIES, 'http_status="",error="RESPONSE_HEADERS_TIMEOUT"'), 1);
        assert.equal(world.sum(STATUSES, 'http_status="200",error=""'), 1);
      });
    });

    it("of a try: the last one has what time is left", () =>
      withRule(
        version,
        { retry: retry({ timeout: 100, max: 1 }) },
        later(300, (response) => response.end("late")),
        async (world) => {
          const reply = await world.ask(version, "/");
          assert.deepEqual([reply.status, reply.body], [200, "late"]);
          tookAbout(reply, 405);
          assert.equal(world.sum(TRIES, 'error="RESPONSE_HEADERS_TIMEOUT"'), 1);
        },
      ));

    it("of a try: it begins with the request's end; the only one ends in 504", () =>
      withRule(version, { retry: retry({ timeout: 150, max: 0 }) }, never, async (world) => {
        const uploading = world.ask(version, "/", { method: "POST", body: "begun", unended: true });
        const first = await Promise.race([uploading, new Promise((resolve) => setTimeout(resolve, 400, "still"))]);
        assert.equal(first, "still");
        const reply = await world.ask(version, "/");
        tookAbout(reply, 150);
        assert.equal(reply.status, 504);
        assert.match(String(reply.headers["l5d-proxy-error"]), /the response's head/);
        assert.equal(world.sum(STATUSES, 'error="RESPONSE_HEADERS_TIMEOUT"'), 1);
      }));
  });
}

describe("time-outs of HTTP/2 streams", () => {
  it("of the response: where the answer's head comes before the request's end, they begin with it", () =>
    inOutboundWorld(async (world) => {
      await world.serveStreams("web", (stream) => stream.respond({ ":status": 200 }));
      const parts = { timeouts: timeouts({ response: 250 }) };
      world.plane.policy(TARGET).first = [policy([route([rule("web", parts)])])];
      const reply = await world.ask("HTTP/2", "/", { method: "POST", body: "begun", unended: true });
      tookAbout(reply, 250);
      assert.deepEqual([reply.status, reply.whole], [200, false]);
      assert.equal(world.sum(STATUSES, 'error="RESPONSE_STREAM_TIMEOUT"'), 1);
    }));
});

describe("time-outs of gRPC", () => {
  const call = { method: "POST", headers: { "content-type": "application/grpc", te: "trailers" }, body: "message" };

  it("are DEADLINE_EXCEEDED in the head, before the answer's", () =>
    withRule("HTTP/2", { timeouts: timeouts({ request: 150 }) }, never, async (world) => {
      const reply = await world.ask("HTTP/2", "/a.B/C", call);
      tookAbout(reply, 150);
      assert.deepEqual([reply.status, reply.headers["grpc-status"], reply.whole], [200, "4", true]);
    }));

  it("are DEADLINE_EXCEEDED in trailers, within the answer", () =>
    withRule("HTTP/2", { timeouts: timeouts({ request: 200 }) }, drips(1_000, 2), async (world) => {
      const reply = await world.ask("HTTP/2", "/a.B/C", call);
      tookAbout(reply, 200);
      assert.deepEqual([reply.status, reply.body, reply.trailers["grpc-status"], reply.whole], [200, "0", "4", true]);
    }));
});
