/** Traffic that leaves the cluster, as an EgressNetwork allows or denies it (reference 5.3). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import type {
  Backend,
  GrpcRoute_Filter,
  HttpRoute_Filter,
  OpaqueRoute,
  OutboundPolicy,
} from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { type EndpointSpec, forward } from "./support/messages.ts";
import { hear, inOutboundWorld, type OutboundWorld, says, VERSIONS } from "./support/outbound-world.ts";
import { duration, grpcPolicy, grpcRule, opaqueRoute, route, rule, tlsRoute } from "./support/routes.ts";

const TARGET = "192.0.2.7:80";
const DENIED: HttpRoute_Filter = {
  kind: { $case: "failureInjector", value: { status: 403, message: "traffic not allowed", ratio: undefined } },
};
const FORBIDDEN: OpaqueRoute["rules"][number]["filters"] = [{ kind: { $case: "forbidden", value: {} } }];

const metadata: OutboundPolicy["metadata"] = {
  kind: {
    $case: "resource",
    value: {
      group: "policy.linkerd.io",
      kind: "EgressNetwork",
      namespace: "linkerd-egress",
      name: "all",
      port: 80,
      section: "",
    },
  },
};

/** As the control plane makes it of a network's default. */
function egress(verdict: "allow" | "deny", to: EndpointSpec): OutboundPolicy {
  const backend = forward(to);
  const filters = verdict === "deny" ? [DENIED] : [];
  const http = {
    routes: [route([rule(backend, { filters })], [], `http-egress-${verdict}`)],
    failureAccrual: undefined,
  };
  return {
    metadata,
    protocol: {
      kind: {
        $case: "detect",
        value: {
          timeout: duration(10_000),
          http1: http,
          http2: http,
          opaque: { routes: [bytes(verdict, backend)] },
        },
      },
    },
  };
}

function bytes(verdict: "allow" | "deny", backend: Backend): OpaqueRoute {
  const made = opaqueRoute(backend, `tcp-egress-${verdict}`);
  return { ...made, rules: made.rules.map((each) => ({ ...each, filters: verdict === "deny" ? FORBIDDEN : [] })) };
}

function inEgress(run: (world: OutboundWorld) => Promise<void>): Promise<void> {
  return inOutboundWorld(async (world) => {
    world.original = { ip: "192.0.2.7", port: 80 };
    await run(world);
  });
}

const NO_HTTP = "\x00\x01\x02binary, and more of it than a first line\r\n";
const OF_NETWORK = ['parent_group="policy.linkerd.io"', 'parent_kind="EgressNetwork"', 'parent_name="all"'];

for (const version of VERSIONS) {
  describe(`egress over ${version}`, () => {
    it("goes to the address itself where it is allowed, and is told of as the network's", () =>
      inEgress(async (world) => {
        const { endpoints } = await world.serve(version, undefined, says("outside"));
        world.plane.policy(TARGET).first = [egress("allow", endpoints[0] as EndpointSpec)];
        assert.equal((await world.ask(version, "/")).body, "outside");
        const told = [...OF_NETWORK, 'route_name="http-egress-allow"'];
        assert.equal(world.sum("outbound_http_route_backend_requests_total", ...told), 1);
        assert.equal(world.sum("outbound_http_route_request_statuses_total", 'http_status="200"', ...told), 1);
        assert.equal(world.sum("request_total", 'tls="no_identity"'), 1);
      }));

    it("is 403 where it is denied, without a word to the address", () =>
      inEgress(async (world) => {
        const { endpoints, bodies } = await world.serve(version, undefined, says("outside"));
        world.plane.policy(TARGET).first = [egress("deny", endpoints[0] as EndpointSpec)];
        const reply = await world.ask(version, "/", { method: "POST", body: "secret" });
        assert.deepEqual([reply.status, reply.headers["l5d-proxy-error"]], [403, "traffic not allowed"]);
        assert.deepEqual(bodies, []);
        const told = [...OF_NETWORK, 'route_name="http-egress-deny"'];
        assert.equal(world.sum("outbound_http_route_request_statuses_total", 'http_status="403"', ...told), 1);
        assert.equal(world.sum("outbound_http_route_backend_requests_total"), 0);
        assert.equal(world.sum("tcp_open_total", 'peer="dst"'), 0);
      }));
  });
}

describe("egress of bytes", () => {
  it("goes to the address itself where it is allowed", () =>
    inEgress(async (world) => {
      const endpoint = await world.serveBytes("outside!");
      world.plane.policy(TARGET).first = [egress("allow", endpoint)];
      const socket = await world.dial(NO_HTTP);
      assert.match(await hear(socket, "!"), /^outside!/);
      assert.equal(world.sum("outbound_tcp_route_open_total", ...OF_NETWORK, 'route_name="tcp-egress-allow"'), 1);
    }));

  it("is closed where it is denied, without a connection to the address", () =>
    inEgress(async (world) => {
      const endpoint = await world.serveBytes("outside!");
      world.plane.policy(TARGET).first = [egress("deny", endpoint)];
      const socket = await world.dial(NO_HTTP);
      assert.equal(await hear(socket).catch(() => ""), "");
      const told = [...OF_NETWORK, 'route_name="tcp-egress-deny"', 'error="forbidden"'];
      assert.equal(world.sum("outbound_tcp_route_close_total", ...told), 1);
      assert.equal(world.sum("tcp_open_total", 'peer="dst"'), 0);
    }));

  it("of TLS is closed where its route forbids it", () =>
    inEgress(async (world) => {
      const endpoint = await world.serveBytes("outside!");
      const made = tlsRoute([], forward(endpoint), "tls-egress-deny");
      const denied = { ...made, rules: made.rules.map((each) => ({ ...each, filters: FORBIDDEN })) };
      world.plane.policy(TARGET).first = [
        { metadata, protocol: { kind: { $case: "tls", value: { routes: [denied] } } } },
      ];
      const socket = await world.dial();
      const client = connectTls({ socket, servername: "outside.example", rejectUnauthorized: false });
      const error = await new Promise((resolve) => {
        client.on("error", resolve);
        client.on("close", resolve);
      });
      assert.ok(error !== undefined);
      const told = [...OF_NETWORK, 'route_name="tls-egress-deny"', 'error="forbidden"'];
      assert.equal(world.sum("outbound_tls_route_close_total", ...told), 1);
    }));
});

describe("egress of gRPC", () => {
  it("is what the injector says where it is denied", () =>
    inEgress(async (world) => {
      const { endpoints } = await world.serve("HTTP/2", undefined, says("outside"));
      const denied: GrpcRoute_Filter = {
        kind: { $case: "failureInjector", value: { code: 7, message: "traffic not allowed", ratio: undefined } },
      };
      const backend = forward(endpoints[0] as EndpointSpec);
      world.plane.policy(TARGET).first = [{ ...grpcPolicy([grpcRule(backend, { filters: [denied] })]), metadata }];
      const headers = { "content-type": "application/grpc", te: "trailers" };
      const reply = await world.ask("HTTP/2", "/a.B/C", { method: "POST", headers, body: "m" });
      assert.deepEqual([reply.status, reply.headers["grpc-status"], reply.whole], [200, "7", true]);
      assert.equal(decodeURIComponent(String(reply.headers["grpc-message"])), "traffic not allowed");
    }));
});
