/** However an exchange ends, it is no longer under way: OUTBOUND_MAX_IN_FLIGHT of 1 lets the next request pass (reference 4.5). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { add, forward } from "./support/messages.ts";
import {
  type Handler,
  inOutboundWorld,
  type OutboundWorld,
  pathOf,
  type Reply,
  VERSIONS,
  type Version,
} from "./support/outbound-world.ts";
import { duration, httpRetry, policy, prefix, route, rule } from "./support/routes.ts";

const TARGET = "10.96.0.1:80";

/** `/slow` after a while, `/never` not at all, `/ill` with 503; the rest at once. */
const handler: Handler = ({ url }, response) => {
  if (url === "/never") return;
  response.statusCode = url === "/ill" ? 503 : 200;
  if (url !== "/slow") response.end("done");
  else
    setTimeout(() => {
      if (response.writable) response.end("done");
    }, 600);
};

async function served(world: OutboundWorld, version: Version): Promise<void> {
  const { endpoints } = await world.serve(version, "web", handler);
  const timeouts = { request: duration(200), response: undefined, idle: undefined };
  const [single] = endpoints;
  assert.ok(single);
  world.plane.destination(pathOf("gone")).first = [add([])];
  world.plane.policy(TARGET).first = [
    policy([
      route([
        rule("web"),
        rule("web", { matches: prefix("/never"), timeouts }),
        rule("web", { matches: prefix("/ill"), retry: httpRetry() }),
        rule("gone", { matches: prefix("/gone"), timeouts }),
        rule(forward(single), { matches: prefix("/single") }),
      ]),
    ]),
  ];
  assert.equal((await world.ask(version, "/")).status, 200);
}

const ENDINGS: Readonly<Record<string, (world: OutboundWorld, version: Version) => Promise<Reply>>> = {
  "a whole answer": (world, version) => world.ask(version, "/"),
  "a whole answer of the only endpoint there is": (world, version) => world.ask(version, "/single"),
  "a time-out": (world, version) => world.ask(version, "/never"),
  "retries in vain": (world, version) => world.ask(version, "/ill"),
  "no endpoint in time": (world, version) => world.ask(version, "/gone"),
};

for (const version of VERSIONS) {
  describe(`requests under way over ${version}`, () => {
    for (const [name, ending] of Object.entries(ENDINGS)) {
      it(`are fewer after ${name}`, () =>
        inOutboundWorld(
          async (world) => {
            await served(world, version);
            for (let count = 0; count < 3; count++) await ending(world, version);
            assert.equal((await world.ask(version, "/")).status, 200);
          },
          { load: { requests: 0, most: 1 } },
        ));
    }

    it("are fewer after a client that leaves", () =>
      inOutboundWorld(
        async (world) => {
          await served(world, version);
          const left = world.ask(version, "/slow");
          await sleep(150);
          await world.newConnections();
          assert.equal((await left).status, 0);
          // HTTP/1's end could be a half-close, whose answer is waited for.
          await sleep(1_000);
          assert.equal((await world.ask(version, "/")).status, 200);
        },
        { load: { requests: 0, most: 1 } },
      ));
  });
}
