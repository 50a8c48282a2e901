/** Inbound policy as clients, applications and metrics see it, over HTTP/1 and HTTP/2, plain and with mTLS. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { Duplex } from "node:stream";
import { describe, it } from "node:test";
import type {
  Authz,
  HttpLocalRateLimit,
  HttpRoute,
  Server,
} from "../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import { TRANSPORT_PROTOCOL } from "../../../runtime/proxy/tls/mesh-tls.ts";
import { direct, write } from "./support/direct.ts";
import { InboundWorld, requesterOn, type Version } from "./support/inbound-world.ts";
import { everyone } from "./support/messages.ts";
import { until } from "./support/until.ts";

const CLIENT = "client.shop.serviceaccount.identity.weft.cluster.local";
const OTHER = "other.shop.serviceaccount.identity.weft.cluster.local";
const GRPC = { "content-type": "application/grpc" };
const VERSIONS: readonly Version[] = ["HTTP/1.1", "HTTP/2"];

async function inWorld(
  run: (world: InboundWorld) => Promise<void>,
  options: Parameters<InboundWorld["start"]>[0] = {},
): Promise<void> {
  const world = new InboundWorld();
  try {
    await world.start(options);
    await run(world);
  } finally {
    world.stop();
  }
}

function only(...identities: string[]): Authz {
  return {
    ...everyone("named"),
    authentication: {
      permit: {
        $case: "meshTLS",
        value: {
          clients: {
            $case: "identities",
            value: { identities: identities.map((name) => ({ name })), suffixes: [] },
          },
        },
      },
    },
  };
}

type Filters = HttpRoute["rules"][number]["filters"];

function route(
  name: string,
  path: string,
  authorizations: readonly Authz[],
  parts: { filters?: Filters; hosts?: HttpRoute["hosts"]; kind?: "default" } = {},
): HttpRoute {
  const { filters = [], hosts = [], kind } = parts;
  return {
    metadata: {
      kind:
        kind === "default"
          ? { $case: "default", value: name }
          : {
              $case: "resource",
              value: { group: "policy.linkerd.io", kind: "HTTPRoute", name, namespace: "shop", section: "", port: 0 },
            },
    },
    hosts,
    authorizations: [...authorizations],
    rules: [
      {
        matches: [
          { path: { kind: { $case: "prefix", value: path } }, headers: [], queryParams: [], method: undefined },
        ],
        filters,
      },
    ],
  };
}

function policy(
  name: string,
  routes: readonly HttpRoute[],
  parts: { limit?: HttpLocalRateLimit; authorizations?: readonly Authz[] } = {},
): Server {
  return {
    protocol: {
      kind: {
        $case: "detect",
        value: {
          timeout: { seconds: 10n, nanos: 0 },
          httpRoutes: [...routes],
          httpLocalRateLimit: parts.limit,
        },
      },
    },
    serverIps: [],
    authorizations: [...(parts.authorizations ?? [])],
    labels: { group: "policy.linkerd.io", kind: "server", name },
  };
}

function opaque(name: string, authorizations: readonly Authz[]): Server {
  return { ...policy(name, [], { authorizations }), protocol: { kind: { $case: "opaque", value: {} } } };
}

async function closed(socket: Duplex): Promise<void> {
  if (!socket.closed) await once(socket, "close");
}

for (const version of VERSIONS) {
  describe(`inbound policy over ${version}`, () => {
    it("authorizes each request by its route: 403, gRPC's PERMISSION_DENIED; what no route matches is 404", () =>
      inWorld(async (world) => {
        const port = world.ports[version];
        await world.setPolicy(
          port,
          policy("split", [route("shut", "/shut", [only(CLIENT)]), route("open", "/open", [everyone("all")])]),
        );
        const plain = await world.requester(version, port);
        assert.equal((await plain.ask("/open")).status, 200);
        const denied = await plain.ask("/shut");
        assert.equal(denied.status, 403);
        assert.equal(denied.headers["l5d-proxy-error"], undefined, "only peers of the mesh are told why");
        const grpcDenied = await plain.ask("/shut", { method: "POST", headers: GRPC });
        assert.equal(grpcDenied.status, 200);
        assert.equal(grpcDenied.headers["grpc-status"], "7");
        assert.equal((await plain.ask("/nowhere")).status, 404);
        const grpcLost = await plain.ask("/nowhere", { method: "POST", headers: GRPC });
        assert.equal(grpcLost.headers["grpc-status"], "5");
        assert.equal((await plain.ask("/open")).status, 200, "the connection goes on");
        const named = await world.requester(version, port, CLIENT);
        assert.equal((await named.ask("/shut")).status, 200);
        const other = await world.requester(version, port, OTHER);
        const told = await other.ask("/shut");
        assert.equal(told.status, 403);
        assert.match(String(told.headers["l5d-proxy-error"]), /does not authorize/);
        assert.equal(world.sum("inbound_http_authz_deny_total", 'route_name="shut"', 'tls="no_identity"'), 2);
        assert.equal(world.sum("inbound_http_authz_deny_total", `client_id="${OTHER}"`), 1);
        assert.equal(world.sum("inbound_http_route_not_found_total", 'srv_name="split"'), 2);
        assert.equal(world.sum("inbound_http_authz_allow_total", 'authz_name="named"', `client_id="${CLIENT}"`), 1);
        assert.equal(world.log.filter((line) => line.includes("denied a request")).length, 1, "said once in a while");
      }));

    it("lets probes pass where everything else needs an identity", () =>
      inWorld(async (world) => {
        const port = world.ports[version];
        await world.setPolicy(
          port,
          policy("probed", [
            route("probe", "/healthz", [everyone("probe")], { kind: "default" }),
            route("default", "/", [only(CLIENT)], { kind: "default" }),
          ]),
        );
        const plain = await world.requester(version, port);
        assert.equal((await plain.ask("/healthz")).status, 200);
        assert.equal((await plain.ask("/")).status, 403);
        assert.equal(world.sum("request_total", 'route_name="probe"'), 1);
      }));

    it("tells the application who the client is, and nobody can say it himself", () =>
      inWorld(async (world) => {
        const port = world.ports[version];
        await world.setPolicy(port, policy("open", [route("open", "/", [everyone("all")])]));
        const spoofed = { headers: { "l5d-client-id": "admin.shop", "x-own": "1" } };
        const plain = await world.requester(version, port);
        const heardPlain = JSON.parse((await plain.ask("/", spoofed)).body) as Record<string, string>;
        assert.equal(heardPlain["l5d-client-id"], undefined);
        assert.equal(heardPlain["x-own"], "1");
        const named = await world.requester(version, port, CLIENT);
        const heardNamed = JSON.parse((await named.ask("/", spoofed)).body) as Record<string, string>;
        assert.equal(heardNamed["l5d-client-id"], CLIENT);
      }));

    it("edits, redirects and fails requests as their route says, by host", () =>
      inWorld(async (world) => {
        const port = world.ports[version];
        const set = { headers: [{ name: "x-team", value: Buffer.from("cart") }] };
        const host = (value: string): HttpRoute["hosts"] => [{ match: { $case: "exact", value } }];
        const everybody = [everyone("all")];
        await world.setPolicy(
          port,
          policy("filtered", [
            route("edited", "/", everybody, {
              hosts: host("web.shop"),
              filters: [
                {
                  kind: { $case: "requestHeaderModifier", value: { add: undefined, set, remove: ["x-secret"] } },
                },
              ],
            }),
            route("moved", "/", everybody, {
              hosts: host("old.shop"),
              filters: [
                {
                  kind: {
                    $case: "redirect",
                    value: { scheme: undefined, host: "new.shop", path: undefined, port: 0, status: 301 },
                  },
                },
              ],
            }),
            route("broken", "/", everybody, {
              hosts: host("broken.shop"),
              filters: [
                { kind: { $case: "failureInjector", value: { status: 503, message: "on purpose", ratio: undefined } } },
              ],
            }),
          ]),
        );
        const client = await world.requester(version, port);
        const sent = { headers: { "x-secret": "s", "x-team": "none", "x-own": "1" } };
        const heard = JSON.parse((await client.ask("/a", sent)).body) as Record<string, string>;
        assert.equal(heard["x-team"], "cart");
        assert.equal(heard["x-secret"], undefined);
        assert.equal(heard["x-own"], "1");
        const moved = await client.ask("/a?b=1", { headers: { host: "old.shop" } });
        assert.equal(moved.status, 301);
        assert.equal(moved.headers.location, "http://new.shop/a?b=1");
        assert.equal((await client.ask("/", { headers: { host: "broken.shop" } })).status, 503);
        assert.equal((await client.ask("/", { headers: { host: "unknown.shop" } })).status, 404);
        assert.equal(world.sum("inbound_http_authz_allow_total"), 3);
      }));

    it("takes no more than the port's rate: 429, gRPC's RESOURCE_EXHAUSTED; probes are never too many", () =>
      inWorld(async (world) => {
        const port = world.ports[version];
        const rate = (requestsPerSecond: number) => ({ requestsPerSecond });
        await world.setPolicy(
          port,
          policy(
            "slow",
            [
              route("probe", "/healthz", [everyone("probe")], { kind: "default" }),
              route("open", "/", [everyone("all")]),
            ],
            {
              limit: {
                metadata: {
                  kind: {
                    $case: "resource",
                    value: {
                      group: "policy.linkerd.io",
                      kind: "HTTPLocalRateLimitPolicy",
                      name: "drip",
                      namespace: "shop",
                      section: "",
                      port: 0,
                    },
                  },
                },
                total: undefined,
                identity: rate(1),
                overrides: [{ limit: rate(1_000), clients: { identities: [{ name: OTHER }] } }],
              },
            },
          ),
        );
        const first = await world.requester(version, port);
        const second = await world.requester(version, port);
        assert.equal((await first.ask("/")).status, 200);
        assert.equal((await second.ask("/")).status, 429, "who has no identity shares a bucket");
        const grpc = await second.ask("/", { method: "POST", headers: GRPC });
        assert.equal(grpc.headers["grpc-status"], "8");
        for (let count = 0; count < 5; count++) assert.equal((await first.ask("/healthz")).status, 200);
        const named = await world.requester(version, port, CLIENT);
        assert.equal((await named.ask("/")).status, 200);
        assert.equal((await named.ask("/")).status, 429);
        const favoured = await world.requester(version, port, OTHER);
        for (let count = 0; count < 5; count++) assert.equal((await favoured.ask("/")).status, 200);
        const counted = ['ratelimit_name="drip"', 'ratelimit_scope="identity"', 'route_name="open"'];
        assert.equal(world.sum("inbound_http_local_ratelimit_total", ...counted), 3);
      }));

    it("has no more requests under way than it may: 503, gRPC's UNAVAILABLE", () =>
      inWorld(
        async (world) => {
          const port = world.ports[version];
          await world.setPolicy(port, policy("open", [route("open", "/", [everyone("all")])]));
          const busy = await world.requester(version, port);
          const slow = busy.ask("/slow");
          await until("the slow one to be under way", () => world.sum("request_total") === 1);
          const late = await world.requester(version, port);
          assert.equal((await late.ask("/")).status, 503);
          const later = await world.requester(version, port);
          const grpc = await later.ask("/", { method: "POST", headers: GRPC });
          assert.equal(grpc.headers["grpc-status"], "14");
          assert.equal((await slow).status, 200);
          assert.equal((await busy.ask("/")).status, 200, "there is room again");
          assert.equal(world.sum("inbound_http_errors_total", 'error="loadshed"'), 2);
        },
        { maxInFlight: 1 },
      ));

    it("on a direct connection is no gateway (404), and no way back to the proxy itself (508)", () =>
      inWorld(async (world) => {
        const protocol = version === "HTTP/2" ? "http2" : "http1";
        for (const [port, name, status, grpcStatus, error] of [
          [80, "web.far.svc.cluster.local", 404, "5", "gateway domain invalid"],
          [world.proxyPort, "", 508, "10", "gateway loop"],
        ] as const) {
          for (const headers of [{}, GRPC]) {
            const socket = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
            await write(socket, direct(port, name, protocol));
            const reply = await requesterOn(version, socket).ask("/", { method: "POST", headers });
            if (headers === GRPC) assert.equal(reply.headers["grpc-status"], grpcStatus);
            else assert.equal(reply.status, status);
            assert.ok(reply.headers["l5d-proxy-error"]);
            socket.destroy();
          }
          assert.equal(world.sum("inbound_http_errors_total", `error="${error}"`), 2);
        }
        const socket = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
        await write(socket, direct(world.ports[version], "", protocol));
        await world.setPolicy(world.ports[version], policy("open", [route("open", "/", [everyone("all")])]));
        assert.equal((await requesterOn(version, socket).ask("/")).status, 200, "to a port of the pod it leads");
      }));
  });
}

describe("inbound policy over HTTP/1.1 that a peer carries over HTTP/2", () => {
  const CARRIED = { "l5d-orig-proto": "HTTP/1.1" };

  it("authorizes, edits, redirects and limits as for any request, and tells the HTTP/1 application who the client is", () =>
    inWorld(async (world) => {
      const port = world.ports["HTTP/1.1"];
      const set = { headers: [{ name: "x-team", value: Buffer.from("cart") }] };
      const rate = (requestsPerSecond: number) => ({ requestsPerSecond });
      await world.setPolicy(
        port,
        policy(
          "carried",
          [
            route("edited", "/edited", [only(CLIENT, OTHER)], {
              filters: [
                { kind: { $case: "requestHeaderModifier", value: { add: undefined, set, remove: ["x-gone"] } } },
              ],
            }),
            route("shut", "/shut", [only(OTHER)]),
            route("moved", "/moved", [only(CLIENT)], {
              filters: [
                {
                  kind: {
                    $case: "redirect",
                    value: { scheme: undefined, host: "new.shop", path: undefined, port: 0, status: 302 },
                  },
                },
              ],
            }),
          ],
          {
            limit: {
              metadata: { kind: { $case: "default", value: "slow" } },
              total: undefined,
              identity: rate(1_000),
              overrides: [{ limit: rate(1), clients: { identities: [{ name: OTHER }] } }],
            },
          },
        ),
      );
      const client = await world.requester("HTTP/2", port, CLIENT);
      const spoofed = { ...CARRIED, "l5d-client-id": "admin.shop", "x-gone": "1", "x-own": "1" };
      const edited = await client.ask("/edited", { headers: spoofed });
      assert.equal(edited.status, 200);
      assert.match(String(edited.headers["l5d-orig-proto"]), /^HTTP\/1\.1/);
      const heard = JSON.parse(edited.body) as Record<string, string>;
      assert.equal(heard["l5d-client-id"], CLIENT);
      assert.equal(heard["l5d-orig-proto"], undefined);
      assert.equal(heard["x-team"], "cart");
      assert.equal(heard["x-gone"], undefined);
      assert.equal(heard["x-own"], "1");
      assert.equal((await client.ask("/shut", { headers: CARRIED })).status, 403);
      assert.equal((await client.ask("/nowhere", { headers: CARRIED })).status, 404);
      const moved = await client.ask("/moved", { headers: CARRIED });
      assert.equal(moved.status, 302);
      assert.equal(moved.headers.location, "http://new.shop/moved");
      const other = await world.requester("HTTP/2", port, OTHER);
      assert.equal((await other.ask("/shut", { headers: CARRIED })).status, 200);
      assert.equal((await other.ask("/shut", { headers: CARRIED })).status, 429);
    }));
});

describe("inbound policy of bytes", () => {
  it("ends a connection whose authorization a new policy withdraws, and no other", () =>
    inWorld(async (world) => {
      const port = world.ports.echo;
      await world.setPolicy(port, opaque("wide", [everyone("all")]));
      const named = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
      named.write(direct(port, "", undefined));
      const plain = await world.connect(port);
      for (const socket of [named, plain]) {
        socket.write("hello");
        assert.equal(String((await once(socket, "data"))[0]), "hello");
      }
      await world.setPolicy(port, opaque("narrow", [only(CLIENT)]));
      await closed(plain);
      named.write("still");
      assert.equal(String((await once(named, "data"))[0]), "still");
      assert.equal(world.sum("inbound_tcp_authz_terminate_total", 'srv_name="narrow"', 'tls="no_identity"'), 1);
      assert.equal(world.sum("inbound_tcp_authz_terminate_total"), 1);
      const refused = await world.connect(port);
      await closed(refused);
      assert.equal(world.sum("inbound_tcp_authz_deny_total", 'srv_name="narrow"'), 1);
      await world.setPolicy(port, opaque("shut", []));
      await closed(named);
      assert.equal(world.sum("inbound_tcp_authz_terminate_total", 'tls="true"', 'srv_name="shut"'), 1);
    }));

  describe("in tunnels", () => {
    const upgrade = "GET /chat HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    const connect = "CONNECT web:80 HTTP/1.1\r\nhost: web:80\r\n\r\n";
    /** Withdraws from others what `CLIENT` keeps, then from all; the tunnels are open. */
    async function withdraw(world: InboundWorld, port: number, plain: Duplex, named: Duplex): Promise<void> {
      for (const tunnel of [plain, named]) assert.equal(await echoed(tunnel, "hello"), "hello");
      await world.setPolicy(port, policy("narrow", [route("rest", "/", [only(CLIENT)])]));
      await closed(plain);
      assert.equal(await echoed(named, "still"), "still");
      assert.equal(world.sum("inbound_tcp_authz_terminate_total", 'srv_name="narrow"', 'tls="no_identity"'), 1);
      assert.equal(world.sum("inbound_tcp_authz_terminate_total"), 1);
      await world.setPolicy(port, policy("shut", [route("rest", "/", [only(OTHER)])]));
      await closed(named);
      assert.equal(world.sum("inbound_tcp_authz_terminate_total", 'srv_name="shut"', 'tls="true"'), 1);
    }

    async function echoed(tunnel: Duplex, text: string): Promise<string> {
      tunnel.write(text);
      return String((await once(tunnel, "data"))[0]);
    }

    for (const [name, request] of [
      ["Upgrade", upgrade],
      ["CONNECT", connect],
    ] as const) {
      it(`of ${name} ends a connection whose authorization a new policy withdraws, and no other`, () =>
        inWorld(async (world) => {
          const port = world.ports["HTTP/1.1"];
          await world.setPolicy(port, policy("wide", [route("rest", "/", [everyone("all")])]));
          const named = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
          named.write(direct(port, "", "http1"));
          const plain = await world.connect(port);
          for (const socket of [named, plain]) assert.match(await echoed(socket, request), /^HTTP\/1\.1 (101|200) /);
          await withdraw(world, port, plain, named);
        }));
    }

    it("of CONNECT in HTTP/2 ends the stream, and nothing else on its connection", () =>
      inWorld(async (world) => {
        const port = world.ports["HTTP/2"];
        await world.setPolicy(port, policy("wide", [route("rest", "/", [everyone("all")])]));
        const sessions = [await world.connect(port), await world.connect(port, CLIENT)].map((socket) =>
          connectHttp2("http://web.shop", { createConnection: () => socket }),
        );
        const [plain, named] = sessions.map((session) => {
          const stream = session.request({ ":method": "CONNECT", ":authority": "web:80" });
          stream.on("error", () => undefined);
          return stream;
        });
        assert.ok(plain !== undefined && named !== undefined);
        await withdraw(world, port, plain, named);
        assert.deepEqual(
          sessions.map(({ destroyed }) => destroyed),
          [false, false],
        );
        for (const session of sessions) session.destroy();
      }));

    it("is asked once more when the tunnel is made: its server may take long to grant it", () =>
      inWorld(async (world) => {
        const port = world.ports["HTTP/1.1"];
        await world.setPolicy(port, policy("wide", [route("rest", "/", [everyone("all")])]));
        const socket = await world.connect(port);
        socket.write(upgrade.replace("/chat", "/slow"));
        await until("it is under way", () => world.sum("request_total") === 1);
        await world.setPolicy(port, policy("shut", [route("rest", "/", [only(OTHER)])]));
        socket.resume();
        await closed(socket);
        assert.equal(world.sum("inbound_tcp_authz_terminate_total", 'srv_name="shut"'), 1);
      }));

    it("leaves a request that is no tunnel alone", () =>
      inWorld(async (world) => {
        const port = world.ports["HTTP/1.1"];
        await world.setPolicy(port, policy("wide", [route("rest", "/", [everyone("all")])]));
        const client = await world.requester("HTTP/1.1", port);
        const slow = client.ask("/slow");
        await until("it is under way", () => world.sum("request_total") === 1);
        await world.setPolicy(port, policy("shut", [route("rest", "/", [only(OTHER)])]));
        assert.equal((await slow).status, 200);
        assert.equal((await client.ask("/slow")).status, 403);
        assert.equal(world.sum("inbound_tcp_authz_terminate_total"), 0);
      }));
  });

  it("that only audits lets everything pass, tells of it once in a while, and counts all of it", () =>
    inWorld(async (world) => {
      const port = world.ports.echo;
      await world.setPolicy(port, opaque("watched", [everyone("audit")]));
      for (let count = 0; count < 3; count++) {
        const socket = await world.connect(port);
        socket.write("hello");
        assert.equal(String((await once(socket, "data"))[0]), "hello");
        socket.destroy();
      }
      assert.equal(world.sum("inbound_tcp_authz_allow_total", 'authz_name="audit"'), 3);
      assert.equal(world.log.filter((line) => line.includes("audits")).length, 1);
    }));

  it("counts when the first bytes come: a client that was silent meanwhile gains nothing by it", () =>
    inWorld(async (world) => {
      const port = world.ports.echo;
      await world.setPolicy(port, policy("wide", [], { authorizations: [everyone("all")] }));
      const socket = await world.connect(port);
      await until("it is accepted", () => world.open() === 1);
      await world.setPolicy(port, policy("shut", []));
      socket.write("\0 no HTTP");
      await closed(socket);
      assert.equal(world.sum("inbound_tcp_authz_deny_total", 'srv_name="shut"'), 1);
      assert.equal(world.sum("inbound_tcp_authz_allow_total"), 0);
    }));

  it("goes through where the port is opaque, whatever a peer took it for", () =>
    inWorld(async (world) => {
      const port = world.ports.echo;
      await world.setPolicy(port, opaque("bytes", [everyone("all")]));
      const socket = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
      const request = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";
      await write(socket, Buffer.concat([direct(port, "", "http1"), Buffer.from(request)]));
      assert.equal(String((await once(socket, "data"))[0]), request);
    }));

  it("on a direct connection goes to no gateway and not back to the proxy", () =>
    inWorld(async (world) => {
      for (const [port, name, error] of [
        [80, "web.far.svc.cluster.local", "gateway domain invalid"],
        [world.proxyPort, "", "gateway loop"],
      ] as const) {
        const socket = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
        socket.write(direct(port, name, undefined));
        await closed(socket);
        assert.equal(world.sum("inbound_tcp_errors_total", `error="${error}"`), 1);
      }
    }));
});

describe("a proxy without a valid certificate", () => {
  it("takes no meshed connection: nothing is passed on for a client that cannot be known", () =>
    inWorld(
      async (world) => {
        const port = world.ports.echo;
        await world.setPolicy(port, policy("wide", [], { authorizations: [everyone("all")] }));
        await assert.rejects(world.connect(port, CLIENT));
        assert.ok(world.log.some((line) => line.includes("no valid certificate")));
        assert.equal(world.sum("tcp_open_total"), 0);
        assert.equal(world.sum("inbound_tcp_errors_total", 'error="i/o"'), 1);
      },
      { identity: "absent" },
    ));
});
