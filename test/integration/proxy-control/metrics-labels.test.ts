/** Labels that clients choose: there where they are asked for, and only there. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InboundWorld, type Version } from "./support/inbound-world.ts";
import { defaultServer, everyone } from "./support/messages.ts";

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
