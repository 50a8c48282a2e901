/** ServiceProfiles beside policies (reference 5.2, 7.3): their overrides, routes, retries and labels. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Route } from "../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import { echoes, inOutboundWorld, pathOf, says, VERSIONS } from "./support/outbound-world.ts";
import { duration, policy, profile, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";

function profileRoute(regex: string, parts: Partial<Route> = {}): Route {
  return {
    condition: { match: { $case: "path", value: { regex } } },
    responseClasses: [],
    metricsLabels: { route: regex },
    isRetryable: false,
    timeout: undefined,
    ...parts,
  };
}

for (const version of VERSIONS) {
  describe(`ServiceProfiles over ${version}`, () => {
    it("win over the policy's routes while they have routes or overrides of their own", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", says("web"));
        await world.serve(version, "canary", echoes);
        world.plane.policy(TARGET).first = [policy([route([rule("web")])])];
        const dstOverrides = [{ authority: pathOf("canary"), weight: 10_000, backendRef: undefined }];
        world.plane.profile(TARGET).first = [profile({ dstOverrides })];
        const { headers } = JSON.parse((await world.ask(version, "/")).body) as { headers: Record<string, string> };
        assert.equal(headers["l5d-dst-canonical"], pathOf("web"));
        world.plane.profile(TARGET).push(profile());
        await sleep(700);
        assert.equal((await world.ask(version, "/")).body, "web");
      }));

    it("tell of their routes by the labels that they give them, and try again what may be", () =>
      inOutboundWorld(async (world) => {
        let failures = 1;
        await world.serve(version, "web", (_request, response) => {
          response.statusCode = failures-- > 0 ? 500 : 200;
          response.end("web");
        });
        world.plane.policy(TARGET).first = [policy([route([rule("web")])])];
        world.plane.profile(TARGET).first = [profile({ routes: [profileRoute("/books", { isRetryable: true })] })];
        assert.equal((await world.ask(version, "/books")).status, 200);
        assert.equal((await world.ask(version, "/books")).status, 200);
        assert.equal((await world.ask(version, "/other")).status, 200);
        const own = [`direction="outbound",dst="${pathOf("web")}"`, 'rt_route="/books"'];
        assert.equal(world.sum("route_request_total", ...own), 2);
        assert.equal(world.sum("route_response_total", 'status_code="200",classification="success"', ...own), 2);
        assert.equal(world.sum("route_response_total", 'classification="failure"', ...own), 0);
        assert.equal(world.sum("route_actual_request_total", ...own), 3);
        assert.equal(world.sum("route_actual_response_total", 'status_code="500",classification="failure"', ...own), 1);
        assert.equal(world.sum("route_retryable_total", ...own), 1);
        assert.equal(world.sum("route_request_total", `dst="${pathOf("web")}"`), 3, "and of the others");
      }));

    it("end requests in their time, and the client's connection with them", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", () => undefined);
        world.plane.policy(TARGET).first = [policy([route([rule("web")])])];
        world.plane.profile(TARGET).first = [profile({ routes: [profileRoute("/.*", { timeout: duration(200) })] })];
        const reply = await world.ask(version, "/slow");
        assert.equal(reply.status, 504);
        assert.ok(reply.took >= 190 && reply.took < 1_500, `${reply.took} ms`);
        if (version === "HTTP/1.1") assert.equal(reply.headers.connection, "close");
        assert.equal(world.sum("outbound_http_errors_total", 'error="response timeout"'), 1);
      }));
  });
}
