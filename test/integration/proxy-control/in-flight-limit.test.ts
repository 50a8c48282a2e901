/** OUTBOUND_MAX_IN_FLIGHT: as many requests under way as the outbound side may have, of all connections and destinations. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Answering, inOutboundWorld, VERSIONS } from "./support/outbound-world.ts";
import { policy, route, rule } from "./support/routes.ts";
import { until } from "./support/until.ts";

for (const version of VERSIONS) {
  describe(`requests of ${version} under way`, () => {
    it("are no more than the outbound side may have, and room comes back", () => {
      const load = { requests: 0, most: 2 };
      return inOutboundWorld(
        async (world) => {
          const held: Answering[] = [];
          await world.serve(version, "web", ({ url }, response) => {
            if (url === "/held") held.push(response);
            else response.end("at once");
          });
          world.plane.policy("10.96.0.1:80").first = [policy([route([rule("web")])])];
          world.plane.policy("10.96.0.2:80").first = [policy([route([rule("web")])])];
          const first = world.ask(version, "/held");
          await until("the first", () => held.length === 1);
          // HTTP/1 takes another connection for it, to another destination.
          world.original = { ip: "10.96.0.2", port: 80 };
          const second = world.ask(version, "/held");
          await until("the second", () => held.length === 2);
          const third = await world.ask(version, "/");
          assert.equal(third.status, 503);
          assert.match(String(third.headers["l5d-proxy-error"]), /2 requests under way/);
          assert.equal(world.sum("outbound_http_errors_total", 'error="loadshed"'), 1);
          for (const response of held) response.end("held");
          assert.deepEqual(
            (await Promise.all([first, second])).map(({ status, body }) => [status, body]),
            [
              [200, "held"],
              [200, "held"],
            ],
          );
          await until("room", () => load.requests === 0);
          assert.equal((await world.ask(version, "/")).body, "at once");
        },
        { load },
      );
    });
  });
}
