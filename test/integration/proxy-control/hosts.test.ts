/** Routes by host (reference 5.1, 9.9): exact names before suffixes, longer suffixes before shorter ones, both before none. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpRoute } from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { inOutboundWorld, says, VERSIONS } from "./support/outbound-world.ts";
import { policy, prefix, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";

function hosts(...names: string[]): HttpRoute["hosts"] {
  return names.map((name) => ({
    match: name.startsWith("*.")
      ? { $case: "suffix", value: { reverseLabels: name.slice(2).split(".").reverse() } }
      : { $case: "exact", value: name },
  }));
}

for (const version of VERSIONS) {
  describe(`hosts of routes over ${version}`, () => {
    it("decide before paths do", () =>
      inOutboundWorld(async (world) => {
        for (const name of ["web", "any", "deep", "one"]) await world.serve(version, name, says(name));
        world.plane.policy(TARGET).first = [
          policy([
            route([rule("web")]),
            route([rule("any", { matches: prefix("/long/path") }), rule("any")], hosts("*.example.com")),
            route([rule("deep")], hosts("*.deep.example.com")),
            route([rule("one")], hosts("one.example.com", "Uno.example.org.")),
          ]),
        ];
        const led: Record<string, string> = {};
        const names = [
          "one.example.com",
          "ONE.example.com:8080",
          "uno.example.org",
          "one.example.com.",
          "two.example.com",
          "a.b.example.com",
          "a.deep.example.com",
          "deep.example.com",
          "example.com",
          "badexample.com",
          "one.example.com.evil",
          "10.0.0.1",
        ];
        for (const name of names)
          led[name] = (await world.ask(version, "/long/path", { headers: { host: name } })).body;
        assert.deepEqual(led, {
          "one.example.com": "one",
          "ONE.example.com:8080": "one",
          "uno.example.org": "one",
          "one.example.com.": "one",
          "two.example.com": "any",
          "a.b.example.com": "any",
          "a.deep.example.com": "deep",
          "deep.example.com": "any",
          "example.com": "web",
          "badexample.com": "web",
          "one.example.com.evil": "web",
          "10.0.0.1": "web",
        });
      }));

    it("that no route has are 404", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", says("web"));
        world.plane.policy(TARGET).first = [policy([route([rule("web")], hosts("*.example.com"))])];
        assert.equal((await world.ask(version, "/", { headers: { host: "a.example.com" } })).body, "web");
        const none = await world.ask(version, "/", { headers: { host: "example.com" } });
        assert.equal(none.status, 404);
        assert.match(String(none.headers["l5d-proxy-error"]), /no route/);
      }));
  });
}
