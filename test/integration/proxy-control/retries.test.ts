/** Tries of a request (reference 9.4): what is sent again, with what, and where it is counted. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inOutboundWorld, VERSIONS } from "./support/outbound-world.ts";
import { httpRetry, policy, prefix, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";
const STATUSES = "outbound_http_route_request_statuses_total";
const TRIES = "outbound_http_route_backend_response_statuses_total";

for (const version of VERSIONS) {
  describe(`retries over ${version}`, () => {
    it("send the request's body again, and give up at the limit or where the body is too large", () =>
      inOutboundWorld(async (world) => {
        let failures = 2;
        const { bodies } = await world.serve(version, "web", ({ body }, response) => {
          response.statusCode = failures-- > 0 ? 503 : 200;
          response.end(`${response.statusCode} ${body.length}`);
        });
        world.plane.policy(TARGET).first = [policy([route([rule("web", { retry: httpRetry() })])])];
        const post = async (body: string): Promise<string> =>
          (await world.ask(version, "/", { method: "POST", body })).body;
        assert.equal(await post("hello"), "200 5");
        assert.deepEqual(bodies, ["hello", "hello", "hello"]);
        failures = 3;
        assert.equal((await world.ask(version, "/")).body, "503 0");
        failures = 1;
        assert.equal(await post("x".repeat(100_000)), "503 100000");
        assert.equal(await post("x".repeat(100_000)), "200 100000");
        failures = 1;
        assert.equal(await post("y".repeat(60_000)), "200 60000");
        const own = ['parent_namespace="shop"', 'parent_name="web"', 'parent_port="80"', 'route_name="test"'];
        assert.equal(world.sum(STATUSES, 'http_status="200"', ...own), 3, "what clients got");
        assert.equal(world.sum(STATUSES, 'http_status="503"', ...own), 2);
        assert.equal(world.sum("outbound_http_route_request_duration_seconds_count", ...own), 5);
        assert.equal(world.sum(TRIES, 'http_status="200"', ...own), 3, "what was sent");
        assert.equal(world.sum(TRIES, 'http_status="503"', ...own), 7);
        assert.equal(world.sum("outbound_http_route_backend_requests_total", ...own), 10);
        assert.equal(world.sum("outbound_http_route_backend_response_duration_seconds_count", ...own), 10);
        assert.equal(world.sum("outbound_http_route_retry_requests_total", ...own), 5);
        assert.equal(world.sum("outbound_http_route_retry_successes_total", ...own), 2);
        assert.equal(world.sum("outbound_http_route_retry_limit_exceeded_total", ...own), 1);
        assert.ok(world.sum("outbound_http_route_request_frame_size_bytes_count", ...own) >= 4);
        assert.ok(world.sum("outbound_http_route_backend_response_frame_size_bytes_count", ...own) >= 5);
      }));

    it("and time-outs are the request's own only where its route allows them", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", ({ headers }, response) => {
          setTimeout(() => {
            if (response.writable) response.end(Object.keys(headers).join());
          }, 200);
        });
        const mine = rule("web", { matches: prefix("/mine"), allowL5dRequestHeaders: true });
        world.plane.policy(TARGET).first = [policy([route([rule("web"), mine])])];
        const headers = { "l5d-request-timeout": "50ms" };
        assert.equal((await world.ask(version, "/", { headers })).status, 200);
        assert.equal((await world.ask(version, "/mine", { headers })).status, 504);
        const relaxed = await world.ask(version, "/mine", { headers: { "l5d-request-timeout": "5s" } });
        assert.equal(relaxed.status, 200);
        assert.ok(!relaxed.body.includes("l5d-request-timeout"));
      }));

    it("are as many as the request itself asks for, where its route allows it", () =>
      inOutboundWorld(async (world) => {
        let asked = 0;
        await world.serve(version, "web", (_request, response) => {
          asked++;
          response.statusCode = 503;
          response.end();
        });
        const parts = { retry: httpRetry(), allowL5dRequestHeaders: true };
        world.plane.policy(TARGET).first = [policy([route([rule("web", parts)])])];
        assert.equal((await world.ask(version, "/", { headers: { "l5d-retry-limit": "4" } })).status, 503);
        assert.equal(asked, 5);
        assert.equal((await world.ask(version, "/", { headers: { "l5d-retry-http": "429" } })).status, 503);
        assert.equal(asked, 6);
      }));
  });
}
