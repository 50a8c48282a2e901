/** Labels that clients choose: there where they are asked for, and only there. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InboundWorld, type Version } from "./support/inbound-world.ts";
import { defaultServer, everyone } from "./support/messages.ts";
import { type Handler, inOutboundWorld } from "./support/outbound-world.ts";
import { backoff, policy, route, rule } from "./support/routes.ts";

const VERSIONS: readonly Version[] = ["HTTP/1.1", "HTTP/2"];

describe("inbound series", () => {
  for (const authorityLabels of [true, false]) {
    it(`${authorityLabels ? "have" : "have not"} the request's authority where that is ${authorityLabels ? "" : "not "}asked for`, async () => {
      const world = new InboundWorld();
      try {
        await world.start({ authorityLabels });
        for (const version of VERSIONS) {
          const port = world.ports[version];
          await world.setPolicy(port, defaultServer("open", [everyone("open")]));
          const requester = await world.requester(version, port);
          const authority = version === "HTTP/1.1" ? "host" : ":authority";
          for (const name of ["Books.shop:7000", "authors.shop:80", "10.1.2.3:80", "authors.shop:80"]) {
            assert.equal((await requester.ask("/", { headers: { [authority]: name } })).status, 200);
          }
          requester.close();
          const of = (label: string): number => world.sum("request_total", `target_port="${port}"`, label);
          assert.equal(of('authority="books.shop:7000"'), authorityLabels ? 1 : 0);
          assert.equal(of('authority="authors.shop"'), authorityLabels ? 2 : 0);
          assert.equal(of("authority="), authorityLabels ? 3 : 0);
          assert.equal(of('direction="inbound"'), 4);
          assert.equal(world.sum("inbound_http_authz_allow_total", `target_port="${port}"`, "authority="), 0);
        }
      } finally {
        world.stop();
      }
    });
  }
});

describe("series of outbound routes", () => {
  for (const hostnameLabels of [true, false]) {
    it(`have ${hostnameLabels ? "" : "an empty label for "}the host name that requests ask for, tried again or not`, () =>
      inOutboundWorld(
        async (world) => {
          for (const version of VERSIONS) {
            world.original = { ip: "10.96.0.1", port: version === "HTTP/1.1" ? 80 : 81 };
            let count = 0;
            const fails: Handler = (_request, response) => {
              response.statusCode = count++ % 2 === 0 ? 500 : 200;
              response.end("hello");
            };
            await world.serve(version, version === "HTTP/1.1" ? "one" : "two", fails);
            const retry = {
              maxRetries: 2,
              maxRequestBytes: 65_536,
              conditions: { statusRanges: [{ start: 500, end: 599 }] },
              timeout: undefined,
              backoff: backoff(1),
            };
            const name = version === "HTTP/1.1" ? "one" : "two";
            const routes = [route([rule(name, { retry })], [], name)];
            world.plane.policy(`10.96.0.1:${world.original.port}`).first = [policy(routes)];
            for (const host of ["Books.shop:80", "authors.shop", "authors.shop", "10.1.2.3"]) {
              assert.equal((await world.ask(version, "/", { headers: { host } })).status, 200);
            }
            await world.newConnections();
            const statuses = (hostname: string): number =>
              world.sum("outbound_http_route_request_statuses_total", `route_name="${name}"`, `hostname="${hostname}"`);
            assert.deepEqual(["books.shop", "authors.shop", ""].map(statuses), hostnameLabels ? [1, 2, 1] : [0, 0, 4]);
            const retries = (hostname: string): number =>
              world.sum("outbound_http_route_retry_requests_total", `route_name="${name}"`, `hostname="${hostname}"`);
            assert.equal(retries("authors.shop"), hostnameLabels ? 2 : 0);
          }
        },
        { hostnameLabels },
      ));
  }
});
