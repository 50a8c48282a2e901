/** Routes are those of the protocol that is spoken (reference 5.3): a policy may say one thing for HTTP/1 and another for HTTP/2. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FailureAccrual } from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { inOutboundWorld, type OutboundWorld, says, VERSIONS } from "./support/outbound-world.ts";
import { backoff, grpcPolicy, grpcRule, policy, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";

async function serveBoth(it: OutboundWorld): Promise<void> {
  await it.serve("HTTP/1.1", "one", says("one"));
  await it.serve("HTTP/2", "two", says("two"));
  await it.serve("HTTP/1.1", "web");
}

describe("routes by protocol", () => {
  it("are HTTP/1's for HTTP/1 and HTTP/2's for HTTP/2 where the protocol is detected", () =>
    inOutboundWorld(async (it) => {
      await serveBoth(it);
      const told = policy([route([rule("one")])]);
      const detect = told.protocol?.kind;
      assert.equal(detect?.$case, "detect");
      detect.value.http2 = { routes: [route([rule("two")], [], "second")], failureAccrual: undefined };
      it.plane.policy(TARGET).first = [told];
      assert.equal((await it.ask("HTTP/1.1", "/")).body, "one");
      assert.equal((await it.ask("HTTP/2", "/")).body, "two");
      assert.equal(it.sum("outbound_http_route_backend_requests_total", 'route_name="test"'), 1);
      assert.equal(it.sum("outbound_http_route_backend_requests_total", 'route_name="second"'), 1);
    }));

  it("change each for itself", () =>
    inOutboundWorld(async (it) => {
      await serveBoth(it);
      await it.serve("HTTP/2", "three", says("three"));
      const told = policy([route([rule("one")])]);
      const detect = told.protocol?.kind;
      assert.equal(detect?.$case, "detect");
      detect.value.http2 = { routes: [route([rule("two")])], failureAccrual: undefined };
      it.plane.policy(TARGET).first = [told];
      assert.equal((await it.ask("HTTP/2", "/")).body, "two");
      detect.value.http2 = { routes: [route([rule("three")])], failureAccrual: undefined };
      it.plane.policy(TARGET).push(told);
      await sleep(700);
      assert.equal((await it.ask("HTTP/2", "/")).body, "three");
      assert.equal((await it.ask("HTTP/1.1", "/")).body, "one");
    }));

  it("break circuits each for itself", () =>
    inOutboundWorld(async (it) => {
      await it.serve("HTTP/1.1", "one", says("ill", 500));
      await it.serve("HTTP/2", "two", says("ill", 500));
      await it.serve("HTTP/1.1", "web");
      const accrual: FailureAccrual = {
        kind: { $case: "consecutiveFailures", value: { maxFailures: 1, backoff: backoff(600) } },
        ejection: undefined,
      };
      const told = policy([route([rule("one")])]);
      const detect = told.protocol?.kind;
      assert.equal(detect?.$case, "detect");
      detect.value.http2 = { routes: [route([rule("two")])], failureAccrual: accrual };
      it.plane.policy(TARGET).first = [told];
      for (let count = 0; count < 2; count++)
        assert.ok((await it.ask("HTTP/1.1", "/")).took < 400, "HTTP/1 has no breaker");
      assert.ok((await it.ask("HTTP/2", "/")).took < 400);
      assert.ok((await it.ask("HTTP/2", "/")).took > 400, "the circuit of HTTP/2 is open");
    }));

  for (const kind of ["http1", "http2"] as const) {
    it(`are those of ${kind} for both where the policy says it is that`, () =>
      inOutboundWorld(async (it) => {
        const version = kind === "http1" ? "HTTP/1.1" : "HTTP/2";
        await it.serve(version, "web", says("web"));
        const told = policy([]);
        told.protocol = { kind: { $case: kind, value: { routes: [route([rule("web")])], failureAccrual: undefined } } };
        it.plane.policy(TARGET).first = [told];
        assert.equal((await it.ask(version, "/")).body, "web");
      }));
  }

  it("are gRPC's where the policy says it is gRPC", () =>
    inOutboundWorld(async (it) => {
      await it.serve("HTTP/2", "web", says("web"));
      it.plane.policy(TARGET).first = [grpcPolicy([grpcRule("web")])];
      assert.equal((await it.ask("HTTP/2", "/a.B/C", { method: "POST", body: "x" })).body, "web");
      assert.equal(it.sum("outbound_grpc_route_backend_requests_total", 'route_name="test"'), 1);
    }));

  for (const version of VERSIONS) {
    it(`that are missing for ${version} are the other's`, () =>
      inOutboundWorld(async (it) => {
        await it.serve(version, "web", says("web"));
        const told = policy([route([rule("web")])]);
        const detect = told.protocol?.kind;
        assert.equal(detect?.$case, "detect");
        detect.value[version === "HTTP/1.1" ? "http1" : "http2"] = undefined;
        it.plane.policy(TARGET).first = [told];
        assert.equal((await it.ask(version, "/")).body, "web");
      }));
  }
});
