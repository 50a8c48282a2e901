/** Ingress mode (reference 4.5, 9.11): requests go where their own l5d-dst-override says. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { status } from "@grpc/grpc-js";
import { add, balancer, forward, opaquePolicy } from "./support/messages.ts";
import { echoes, hear, inOutboundWorld, type OutboundWorld, pathOf, says, VERSIONS } from "./support/outbound-world.ts";
import { duration, httpRetry, policy, prefix, profile, route, rule } from "./support/routes.ts";
import { until } from "./support/until.ts";

const TARGET = "10.96.0.1:80";
const INGRESS = { ingress: { detectTimeoutMs: 300 } };

function inIngress(run: (world: OutboundWorld) => Promise<void>): Promise<void> {
  return inOutboundWorld(run, INGRESS);
}

const to = (name: string, port = 80): { headers: Record<string, string> } => ({
  headers: { "l5d-dst-override": pathOf(name, port) },
});

interface Seen {
  readonly url: string;
  readonly headers: Record<string, string>;
}

for (const version of VERSIONS) {
  describe(`ingress mode over ${version}`, () => {
    it("leads each request of a connection to the Service that it names, and keeps the name to itself", () =>
      inIngress(async (world) => {
        for (const name of ["web", "api"]) {
          await world.serve(version, name, echoes);
          const own = rule(name, {
            filters: [
              {
                kind: {
                  $case: "requestHeaderModifier",
                  value: {
                    add: undefined,
                    set: { headers: [{ name: "x-route", value: Buffer.from(name) }] },
                    remove: [],
                  },
                },
              },
            ],
          });
          world.plane.policy(pathOf(name)).first = [policy([route([own])])];
        }
        for (const name of ["web", "api", "web"]) {
          const { headers } = JSON.parse((await world.ask(version, "/x?y=1", to(name))).body) as Seen;
          assert.equal(headers["x-route"], name, "the first request to a name is routed as the others are");
          assert.equal(headers["l5d-dst-override"], undefined);
        }
        const { url } = JSON.parse((await world.ask(version, "/x?y=1", to("web"))).body) as Seen;
        assert.equal(url, "/x?y=1");
        assert.ok(!world.plane.asked.policies.includes(TARGET), "nobody asked for the original destination");
        assert.equal(world.sum("outbound_tcp_detect_http_results_total", 'parent_name="ingress"'), 1);
      }));

    it("keeps the name to itself where a route has no filters, and takes a port of 80 for granted", () =>
      inIngress(async (world) => {
        await world.serve(version, "web", echoes);
        world.plane.policy(pathOf("web")).first = [policy([route([rule("web")])])];
        const headers = { "l5d-dst-override": "web.shop.svc.cluster.local" };
        const seen = JSON.parse((await world.ask(version, "/", { headers })).body) as Seen;
        assert.equal(seen.headers["l5d-dst-override"], undefined);
      }));

    it("leads requests that name nothing to where they were going", () =>
      inIngress(async (world) => {
        await world.serve(version, "web", says("original"));
        world.plane.policy(TARGET).first = [policy([route([rule("web")])])];
        assert.equal((await world.ask(version, "/")).body, "original");
        const { endpoints } = await world.serve(version, undefined, says("pod"));
        world.original = { ip: "192.0.2.1", port: 80 };
        const [pod] = endpoints;
        assert.ok(pod);
        world.plane.policy("192.0.2.1:80").first = [policy([route([rule(forward(pod))])])];
        await world.newConnections();
        assert.equal((await world.ask(version, "/")).body, "pod");
      }));

    it("holds a whole request until its Service is known, body and all", () =>
      inIngress(async (world) => {
        const { bodies } = await world.serve(version, "web", says("web"));
        const first = policy([route([rule("web", { matches: prefix("/only") })])]);
        const asked = world.ask(version, "/only", { ...to("web"), method: "POST", body: "x".repeat(50_000) });
        await sleep(500);
        world.plane.policy(pathOf("web")).push(first);
        world.plane.policy(pathOf("web")).first = [first];
        assert.equal((await asked).body, "web");
        assert.deepEqual(
          bodies.map((body) => body.length),
          [50_000],
        );
        assert.equal((await world.ask(version, "/other", to("web"))).status, 404, "by the Service's own routes");
      }));

    it("tries again by the named Service's policy, the name still kept", () =>
      inIngress(async (world) => {
        let failures = 1;
        await world.serve(version, "web", ({ headers }, response) => {
          response.statusCode = failures-- > 0 ? 503 : 200;
          response.end(String("l5d-dst-override" in headers));
        });
        const retry = httpRetry({ maxRetries: 1 });
        const timeouts = { request: duration(5_000), response: undefined, idle: undefined };
        world.plane.policy(pathOf("web")).first = [policy([route([rule("web", { retry, timeouts })])])];
        const reply = await world.ask(version, "/", { ...to("web"), method: "POST", body: "hello" });
        assert.deepEqual([reply.status, reply.body], [200, "false"]);
      }));

    it("goes to another endpoint where one cannot be reached, the name still kept", () =>
      inIngress(async (world) => {
        const { endpoints } = await world.serve(version, "web", ({ headers }, response) => {
          response.end(String("l5d-dst-override" in headers));
        });
        world.plane.destination(pathOf("web")).first = [add([...endpoints, { ip: "127.0.0.1", port: 1 }])];
        world.plane.policy(pathOf("web")).first = [policy([route([rule("web")])])];
        for (let count = 0; count < 10; count++) {
          assert.equal((await world.ask(version, "/", to("web"))).body, "false");
        }
      }));

    it("answers 404 to a name that nobody knows, and 400 to what is no name", () =>
      inIngress(async (world) => {
        for (const topic of [world.plane.policy(pathOf("none")), world.plane.profile(pathOf("none"))]) {
          topic.first = [{ code: status.NOT_FOUND, details: "no such Service" }];
        }
        assert.equal((await world.ask(version, "/", to("none"))).status, 404);
        for (const bad of ["10.0.0.1:80", "web:0", "web:99999", "a b", ":80", "-", "web:80:80"]) {
          const reply = await world.ask(version, "/", { headers: { "l5d-dst-override": bad } });
          assert.equal(reply.status, 400, bad);
        }
      }));

    it("holds no more Services for a connection than it needs", () =>
      inIngress(async (world) => {
        await world.serve(version, "web", says("web"));
        const count = 100;
        for (let index = 0; index < count; index++) {
          const name = pathOf("web", 1_000 + index);
          world.plane.policy(name).first = [policy([route([rule("web")])])];
          world.plane.profile(name).first = [profile()];
        }
        for (let index = 0; index < count; index++) {
          assert.equal((await world.ask(version, "/", to("web", 1_000 + index))).body, "web");
        }
        assert.equal((await world.ask(version, "/", to("web", 1_000))).body, "web");
      }));

    it("is not the mode of other proxies: the header is the application's", () =>
      inOutboundWorld(async (world) => {
        await world.serve(version, "web", echoes);
        await world.serve(version, "api", says("api"));
        world.plane.policy(TARGET).first = [policy([route([rule("web")])])];
        const { headers } = JSON.parse((await world.ask(version, "/", to("api"))).body) as Seen;
        assert.equal(headers["l5d-dst-override"], pathOf("api"));
      }));
  });
}

describe("ingress mode over HTTP/2", () => {
  it("tries again for a Service that it holds no more, and lets it go all the same", () =>
    inIngress(async (world) => {
      let failures = 1;
      const { endpoints } = await world.serve("HTTP/2", "slow", (_request, response) => {
        const status = failures-- > 0 ? 503 : 200;
        setTimeout(() => {
          response.statusCode = status;
          response.end("at last");
        }, 1_500);
      });
      await world.serve("HTTP/2", "web", says("web"));
      world.plane.policy(pathOf("slow")).first = [
        policy([
          route([rule("slow", { retry: httpRetry() }), rule({ slow: 1, web: 1 }, { matches: prefix("/both") })]),
        ]),
      ];
      world.plane.profile(pathOf("slow")).first = [profile()];
      const slow = world.ask("HTTP/2", "/", to("slow"));
      const names = Array.from({ length: 80 }, (_, index) => pathOf("web", 2_000 + index));
      for (const name of names) {
        world.plane.policy(name).first = [policy([route([rule("web")])])];
        world.plane.profile(name).first = [profile()];
        assert.equal((await world.ask("HTTP/2", "/", { headers: { "l5d-dst-override": name } })).body, "web");
      }
      assert.equal((await slow).body, "at last");
      await world.newConnections();
      const ofSlow = ['peer="dst"', `target_port="${endpoints[0]?.port}"`];
      assert.equal(world.sum("tcp_open_connections", ...ofSlow), 1);
      const isOver = (): boolean => world.sum("tcp_open_connections", ...ofSlow) === 0;
      await until("the Service's balancer is closed", isOver, 14_000);
    }));
});

describe("ingress mode of bytes", () => {
  it("goes by the original destination where it is no HTTP, or nothing is said in time", () =>
    inIngress(async (world) => {
      await world.serveBytes("bytes!", "raw");
      world.plane.policy(TARGET).first = [opaquePolicy(balancer(pathOf("raw")))];
      const talker = await world.dial("\x00\x01binary, and more of it than a first line\r\n");
      assert.ok((await hear(talker, "line\r\n")).startsWith("bytes!\x00\x01binary"));
      const listener = await world.dial();
      assert.equal(await hear(listener, "!"), "bytes!");
      assert.equal(world.sum("outbound_tcp_detect_http_results_total", 'result="read_timeout"'), 1);
    }));

  it("goes on as TLS with its name", () =>
    inIngress(async (world) => {
      const endpoint = await world.serveBytes("");
      world.original = { ip: "192.0.2.1", port: 443 };
      world.plane.policy("192.0.2.1:443").first = [opaquePolicy(forward(endpoint))];
      const socket = await world.dial();
      const client = connectTls({ socket, servername: "outside.example", rejectUnauthorized: false });
      const failed = await new Promise((resolve) => client.on("error", resolve));
      assert.ok(failed instanceof Error, "an echo of a ClientHello is no answer to it");
      assert.equal(world.sum("tcp_open_total", 'peer="src"', 'sni="outside.example"'), 1);
    }));
});
