/** Routes on the outbound side as a client and its servers see them: matches, filters, weights, new policies. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { HttpRoute_Filter, HttpRoute_Rule } from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { type Handler, inOutboundWorld, says, VERSIONS } from "./support/outbound-world.ts";
import { policy, prefix, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";
const STATUSES = "outbound_http_route_request_statuses_total";

const echoes: Handler = ({ url, headers }, response) => {
  response.setHeader("x-inner", "1");
  response.end(JSON.stringify({ url, headers }));
};

const fault: HttpRoute_Filter = {
  kind: { $case: "failureInjector", value: { status: 418, message: "on purpose", ratio: undefined } },
};
const redirect: HttpRoute_Filter = {
  kind: {
    $case: "redirect",
    value: { scheme: undefined, host: "elsewhere.example", path: undefined, port: 0, status: 301 },
  },
};

function edits(): HttpRoute_Filter[] {
  const field = (name: string, value: string) => ({ headers: [{ name, value: Buffer.from(value) }] });
  return [
    {
      kind: {
        $case: "requestHeaderModifier",
        value: { add: undefined, set: field("X-Set", "new"), remove: ["x-gone"] },
      },
    },
    {
      kind: {
        $case: "responseHeaderModifier",
        value: { add: field("x-added", "yes"), set: undefined, remove: ["x-inner"] },
      },
    },
    {
      kind: {
        $case: "urlRewrite",
        value: { host: "inner.example", path: { replace: { $case: "prefix", value: "/v2" } } },
      },
    },
  ];
}

function withRules(...rules: HttpRoute_Rule[]) {
  return policy([route(rules)]);
}

for (const version of VERSIONS) {
  describe(`routes over ${version}`, () => {
    it("lead by path, edit heads both ways and rewrite; what clients say of the mesh is not passed on", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", says("web"));
        await world.serve(version, "api", echoes);
        const api = rule("api", { matches: prefix("/api"), filters: edits() });
        world.plane.policy(TARGET).first = [withRules(rule("web"), api)];
        assert.equal((await world.ask(version, "/")).body, "web");
        const headers = { "x-gone": "1", "x-set": "old", "x-kept": "1", "l5d-client-id": "liar" };
        const reply = await world.ask(version, "/api/x?q=1", { headers });
        const seen = JSON.parse(reply.body) as { url: string; headers: Record<string, string> };
        assert.equal(seen.url, "/v2/x?q=1");
        assert.equal(seen.headers[version === "HTTP/2" ? ":authority" : "host"], "inner.example");
        assert.deepEqual(
          ["x-set", "x-gone", "x-kept", "l5d-client-id"].map((name) => seen.headers[name]),
          ["new", undefined, "1", undefined],
        );
        assert.deepEqual([reply.headers["x-added"], reply.headers["x-inner"]], ["yes", undefined]);
        const posted = await world.ask(version, "/api/y", { method: "POST", body: "x".repeat(100_000) });
        assert.equal(posted.status, 200);
      }));

    it("answer with redirects, failures on purpose, and 404", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", says("web"));
        world.plane.policy(TARGET).first = [
          withRules(
            rule("web", { matches: prefix("/old"), filters: [redirect] }),
            rule("web", { matches: prefix("/bad"), filters: [fault] }),
          ),
        ];
        const moved = await world.ask(version, "/old/a?b=1");
        assert.deepEqual([moved.status, moved.headers.location], [301, "http://elsewhere.example/old/a?b=1"]);
        const bad = await world.ask(version, "/bad");
        assert.deepEqual([bad.status, bad.headers["l5d-proxy-error"]], [418, "on purpose"]);
        assert.equal((await world.ask(version, "/none")).status, 404);
        assert.equal(world.sum(STATUSES, 'http_status="301",error=""'), 1);
        assert.equal(world.sum(STATUSES, 'http_status="418",error=""'), 1);
        assert.equal(world.sum("outbound_http_route_backend_requests_total"), 0, "none was sent");
      }));

    it("share requests by weight", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "a", says("a"));
        await world.serve(version, "b", says("b"));
        await world.serve(version, "web");
        world.plane.policy(TARGET).first = [withRules(rule({ a: 9, b: 1 }))];
        const counts: Record<string, number> = {};
        for (let count = 0; count < 300; count++) {
          const { body } = await world.ask(version, "/");
          counts[body] = (counts[body] ?? 0) + 1;
        }
        assert.ok((counts["a"] ?? 0) > 230 && (counts["b"] ?? 0) > 8, JSON.stringify(counts));
      }));

    it("follow a new policy without losing what is under way", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", (_request, response) => {
          setTimeout(() => response.end("old"), 900);
        });
        await world.serve(version, "next", says("new"));
        world.plane.policy(TARGET).first = [withRules(rule("web"))];
        const under = world.ask(version, "/");
        await sleep(500);
        world.plane.policy(TARGET).push(withRules(rule("next")));
        assert.equal((await under).body, "old");
        assert.equal((await world.ask(version, "/")).body, "new");
      }));

    it("require an identity of the server where the request says so, and refuse who has none", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", says("web"));
        world.plane.policy(TARGET).first = [withRules(rule("web"))];
        const refused = await world.ask(version, "/", { headers: { "l5d-require-id": "somebody.else" } });
        assert.equal(refused.status, 502);
        assert.match(String(refused.headers["l5d-proxy-error"]), /somebody\.else/);
        assert.equal(world.sum("outbound_http_errors_total", 'error="identity required"'), 1);
      }));
  });
}

describe("routes over HTTP/2", () => {
  it("whose answer needs no body hold nobody up with the one that comes", () =>
    inOutboundWorld(async (world) => {
      await world.serve("HTTP/2", "web", says("web"));
      world.plane.policy(TARGET).first = [withRules(rule("web", { matches: prefix("/bad"), filters: [fault] }))];
      const bad = await world.ask("HTTP/2", "/bad", { method: "POST", body: "x".repeat(500_000) });
      assert.deepEqual([bad.status, bad.headers["l5d-proxy-error"]], [418, "on purpose"]);
      assert.equal((await world.ask("HTTP/2", "/bad")).status, 418);
    }));
});
