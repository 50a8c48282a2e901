/** Every metric family of reference 7.3 and 7.4 is told of by proxies that carry traffic of all kinds, or is left out for a reason. */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import type { DestinationProfile } from "../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import type { Authz, HttpRoute as InboundRoute, Server } from "../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import type { GrpcRoute } from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { TRANSPORT_PROTOCOL } from "../../../runtime/proxy/tls/mesh-tls.ts";
import { Recorder } from "../proxy-data-plane/support/static.ts";
import { createTestAuthority } from "./support/authority.ts";
import { ControlPlane } from "./support/control-plane.ts";
import { direct, write } from "./support/direct.ts";
import { InboundWorld } from "./support/inbound-world.ts";
import { add, everyone } from "./support/messages.ts";
import { hear, OutboundWorld, pathOf } from "./support/outbound-world.ts";
import { startProxyProcess } from "./support/proxy-process.ts";
import {
  backoff,
  bytesPolicy,
  duration,
  opaqueRoute,
  policy,
  prefix,
  route,
  rule,
  tlsPolicy,
  tlsRoute,
} from "./support/routes.ts";
import { until } from "./support/until.ts";

const each = (names: readonly string[], base: (name: string) => readonly string[]): string[] => names.flatMap(base);

const BALANCER = [
  ...["endpoints", "p2c_endpoints", "p2c_updates_total", "queue_length", "queue_requests_total"],
  ...["queue_latency_seconds", "queue_gate_open_total", "queue_gate_shut_total"],
  ...["queue_gate_open_time_seconds", "queue_gate_shut_time_seconds", "queue_gate_timeout_seconds"],
];

/** In the reference's order. */
const REFERENCE: readonly string[] = [
  // 7.3
  ...["request_total", "response_total", "response_latency_ms"],
  ...["route_request_total", "route_response_total", "route_response_latency_ms"],
  ...["route_actual_request_total", "route_actual_response_total", "route_retryable_total"],
  ...["control_request_total", "control_response_total", "control_response_latency_ms"],
  ...["tcp_open_total", "tcp_open_connections", "tcp_read_bytes_total", "tcp_write_bytes_total", "tcp_close_total"],
  ...["inbound_http_authz_allow_total", "inbound_http_authz_deny_total", "inbound_http_route_not_found_total"],
  "inbound_http_local_ratelimit_total",
  ...["inbound_tcp_authz_allow_total", "inbound_tcp_authz_deny_total", "inbound_tcp_authz_terminate_total"],
  ...[
    "inbound_http_errors_total",
    "inbound_tcp_errors_total",
    "outbound_http_errors_total",
    "outbound_tcp_errors_total",
  ],
  ...["opentelemetry_span_export_streams", "opentelemetry_span_export_requests", "opentelemetry_span_exports"],
  ...["stack_create_total", "stack_drop_total", "stack_poll_total", "stack_poll_total_ms"],
  // 7.4
  ...each(["http", "grpc"], (kind) =>
    [
      ...["requests_total", "statuses_total", "request_duration_seconds", "response_duration_seconds"],
      ...["request_frame_size_bytes", "response_frame_size_bytes"],
    ].map((name) => `inbound_${kind}_${name}`),
  ),
  ...each(["inbound", "outbound"], (side) => [
    `${side}_tcp_detect_http_duration_seconds`,
    `${side}_tcp_detect_http_results_total`,
  ]),
  ...["inbound_tcp_transport_header_connections_total", "outbound_tcp_protocol_connections_total"],
  ...each(["http", "grpc"], (kind) =>
    [
      ...["request_duration_seconds", "request_statuses_total", "request_frame_size_bytes"],
      ...["retry_limit_exceeded_total", "retry_overflow_total", "retry_requests_total", "retry_successes_total"],
      ...["backend_requests_total", "backend_response_duration_seconds", "backend_response_statuses_total"],
      "backend_response_frame_size_bytes",
    ].map((name) => `outbound_${kind}_route_${name}`),
  ),
  ...each(["http", "tcp", "tls"], (kind) => BALANCER.map((name) => `outbound_${kind}_balancer_${name}`)),
  ...each(["tcp", "tls"], (kind) => [`outbound_${kind}_route_open_total`, `outbound_${kind}_route_close_total`]),
  "outbound_tcp_transfer_cost_bytes_total",
  ...["control_dns_resolutions_total", "control_identity_cert_expiration_timestamp_seconds"],
  ...["control_identity_cert_refresh_timestamp_seconds", "control_identity_cert_refreshes_total"],
  ...each(["control_identity", "control_destination", "control_policy", "opentelemetry"], (client) =>
    BALANCER.map((name) => `${client}_balancer_${name}`),
  ),
  ...["start_time_seconds", "clock_time_seconds", "uptime_seconds_total", "cpu_seconds_total"].map(
    (n) => `process_${n}`,
  ),
  ...["virtual_memory_bytes", "resident_memory_bytes", "open_fds", "max_fds", "threads"].map((n) => `process_${n}`),
  ...["process_network_receive_bytes_total", "process_network_transmit_bytes_total"],
  ...["proxy_build_info", "rustls_info"],
  ...["workers", "park", "noop", "steal", "steal_operations", "remote_schedule", "local_schedule", "overflow"].map(
    (n) => `tokio_rt_${n}`,
  ),
  ...["polls", "busy_seconds", "injection_queue_depth", "local_queue_depth", "budget_forced_yield"].map(
    (n) => `tokio_rt_${n}`,
  ),
  "tokio_rt_io_driver_ready",
];

/** ARCHITECTURE.md, "Who watches a request", says the same. */
const LEFT_OUT: readonly [family: RegExp, reason: string][] = [
  [/^(tokio_rt|stack)_/, "there is neither Tokio nor a stack of services"],
  [/^rustls_info$/, "TLS is OpenSSL's"],
  [/^(control_\w+|opentelemetry)_balancer_(?!endpoints$)/, "control clients use one server at a time, without a queue"],
  [
    /^outbound_(http|grpc)_route_retry_overflow_total$/,
    "only budgets of ServiceProfiles overflow, and those are told as route_retryable_total",
  ],
];

/** Series that come together: a unit test of the registry shows it. */
const TOGETHER: Readonly<Record<string, string>> = {
  response_total: "response_latency_ms",
  route_response_total: "route_response_latency_ms",
  tcp_read_bytes_total: "outbound_tcp_transfer_cost_bytes_total",
};

class FamilyRecorder extends Recorder {
  readonly gauges = new Set<string>();

  override gauge(name?: string): () => void {
    if (name !== undefined) this.gauges.add(name);
    return () => undefined;
  }

  get families(): string[] {
    return [
      ...this.gauges,
      ...[...this.values.keys()].map((key) => key.slice(0, key.indexOf("{")).replace(/_count$/, "")),
    ];
  }
}

class Inbound extends InboundWorld {
  override readonly metrics = new FamilyRecorder();
}

class Outbound extends OutboundWorld {
  override readonly metrics = new FamilyRecorder();
}

const CLIENT = "client.shop.serviceaccount.identity.weft.cluster.local";

function inboundRoute(path: string, authorizations: readonly Authz[]): InboundRoute {
  return {
    metadata: { kind: { $case: "default", value: path } },
    hosts: [],
    authorizations: [...authorizations],
    rules: [{ matches: prefix(path), filters: [] }],
  };
}

function server(name: string, kind: NonNullable<Server["protocol"]>["kind"], authorizations: readonly Authz[]): Server {
  return {
    protocol: { kind },
    serverIps: [],
    authorizations: [...authorizations],
    labels: { group: "", kind: "default", name },
  };
}

/** Whether well or by a reset. */
async function ends(socket: Duplex): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

async function inboundFamilies(): Promise<string[]> {
  const world = new Inbound();
  try {
    await world.start();
    const all = [everyone("all")];
    const { "HTTP/1.1": http1, "HTTP/2": http2, echo } = world.ports;
    const drip = {
      metadata: { kind: { $case: "default" as const, value: "drip" } },
      total: { requestsPerSecond: 1 },
      identity: undefined,
      overrides: [],
    };
    const detect = {
      timeout: duration(10_000),
      httpRoutes: [inboundRoute("/open", all), inboundRoute("/shut", [])],
      httpLocalRateLimit: drip,
    };
    await world.setPolicy(http1, server("http", { $case: "detect", value: detect }, all));
    const client = await world.requester("HTTP/1.1", http1);
    const statuses: number[] = [];
    for (const path of ["/shut", "/nowhere", "/open", "/open"]) statuses.push((await client.ask(path)).status);
    assert.deepEqual(statuses, [403, 404, 200, 429]);
    client.close();
    await world.setPolicy(
      http1,
      server(
        "whole",
        { $case: "detect", value: { ...detect, httpRoutes: [inboundRoute("/", all)], httpLocalRateLimit: undefined } },
        all,
      ),
    );
    const again = await world.requester("HTTP/1.1", http1);
    assert.equal((await again.ask("/die", { method: "POST", headers: { "content-length": "0" } })).status, 502);
    again.close();
    const upload = await world.connect(http1);
    upload.write("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\nconnection: close\r\n\r\n12345");
    assert.match(await hear(upload), /^HTTP\/1.1 200/);
    const grpc = {
      routes: [{ metadata: undefined, hosts: [], authorizations: all, rules: [{ matches: [], filters: [] }] }],
    };
    await world.setPolicy(http2, server("grpc", { $case: "grpc", value: grpc }, all));
    const calls = await world.requester("HTTP/2", http2);
    await calls.ask("/a.B/C", { method: "POST", headers: { "content-type": "application/grpc" } });
    calls.close();
    await world.setPolicy(echo, server("bytes", { $case: "opaque", value: {} }, all));
    const named = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
    await write(named, direct(echo, "", undefined));
    await write(named, Buffer.from("hello!"));
    assert.equal(await hear(named, "!"), "hello!");
    const plain = await world.connect(echo);
    plain.write("hello!");
    await hear(plain, "!");
    await world.setPolicy(echo, server("shut", { $case: "opaque", value: {} }, []));
    await ends(plain);
    await ends(await world.connect(echo));
    await world.setPolicy(1, server("nobody", { $case: "opaque", value: {} }, all));
    const lost = await world.connect(1);
    lost.write("hello");
    await ends(lost);
    await until("a grpc request", () => world.sum("inbound_grpc_statuses_total") > 0);
    return world.metrics.families;
  } finally {
    world.stop();
  }
}

const PROFILE: DestinationProfile = {
  fullyQualifiedName: "web.shop.svc.cluster.local",
  opaqueProtocol: false,
  routes: [
    {
      condition: { match: { $case: "path", value: { regex: "/.*" } } },
      responseClasses: [],
      metricsLabels: { route: "all" },
      isRetryable: true,
      timeout: undefined,
    },
  ],
  retryBudget: undefined,
  dstOverrides: [],
  endpoint: undefined,
  parentRef: undefined,
  profileRef: undefined,
};

async function outboundFamilies(): Promise<string[]> {
  const world = new Outbound();
  try {
    await world.start();
    const at = (host: number, port = 80): string => {
      world.original = { ip: `10.96.0.${host}`, port };
      return `10.96.0.${host}:${port}`;
    };
    let answers = [500, 200, 500, 500, 500];
    const retry = {
      maxRetries: 1,
      maxRequestBytes: 65_536,
      conditions: { statusRanges: [{ start: 500, end: 599 }] },
      timeout: undefined,
      backoff: backoff(1),
    };
    await world.serve("HTTP/1.1", "web", (_request, response) => {
      response.statusCode = answers.shift() ?? 200;
      response.end("web");
    });
    world.plane.policy(at(1)).first = [policy([route([rule("web", { retry })])])];
    assert.equal((await world.ask("HTTP/1.1", "/", { method: "POST", body: "x" })).status, 200);
    assert.equal((await world.ask("HTTP/1.1", "/")).status, 500);
    await world.newConnections();
    // gRPC: its codes are the routes' to retry on.
    let codes = [14, 0, 14, 14];
    await world.serve("HTTP/2", "calls", (_request, response) => {
      response.setHeader("content-type", "application/grpc");
      response.setHeader("grpc-status", String(codes.shift() ?? 0));
      response.end("answer");
    });
    const conditions = {
      internal: false,
      cancelled: false,
      deadlineExceeded: false,
      resourceExhausted: false,
      unavailable: true,
    };
    const grpc: GrpcRoute = {
      metadata: { kind: { $case: "default", value: "calls" } },
      hosts: [],
      rules: [
        {
          ...rule("calls"),
          matches: [],
          filters: [],
          retry: { ...retry, conditions },
        } as unknown as GrpcRoute["rules"][number],
      ],
    };
    const told = policy([]);
    told.protocol = { kind: { $case: "grpc", value: { routes: [grpc], failureAccrual: undefined } } };
    world.plane.policy(at(2)).first = [told];
    const call = { method: "POST", body: "x", headers: { "content-type": "application/grpc", te: "trailers" } };
    for (let count = 0; count < 2; count++) await world.ask("HTTP/2", "/a.B/C", call);
    await world.newConnections();
    answers = [500];
    codes = [];
    world.plane.policy(at(3)).first = [policy([route([rule("web")])])];
    world.plane.profile(at(3)).first = [PROFILE];
    assert.equal((await world.ask("HTTP/1.1", "/")).status, 200);
    await world.newConnections();
    // Nobody listens there: requests wait, and the gate shuts.
    world.plane.destination(pathOf("lost")).first = [add([{ ip: "127.0.0.1", port: 1 }])];
    world.plane.policy(at(4)).first = [policy([route([rule("lost")])])];
    assert.equal((await world.ask("HTTP/1.1", "/")).status, 504);
    await world.newConnections();
    world.plane.policy(at(5)).first = [bytesPolicy(opaqueRoute({ lost: 1 }))];
    await hear(await world.dial("hello")).catch(() => "");
    await world.serveBytes("hello!", "bytes");
    world.plane.policy(at(6)).first = [bytesPolicy(opaqueRoute({ bytes: 1 }))];
    const bytes = await world.dial();
    assert.equal(await hear(bytes, "!"), "hello!");
    bytes.destroy();
    world.plane.policy(at(7)).first = [
      tlsPolicy(tlsRoute(["a.example"], { bytes: 1 }), tlsRoute(["b.example"], { lost: 1 })),
    ];
    for (const servername of ["a.example", "b.example"]) {
      const tls = connectTls({ socket: await world.dial(), servername, rejectUnauthorized: false });
      tls.on("error", () => undefined);
      await ends(tls);
    }
    await until("the ends of its routes", () => world.sum("outbound_tls_route_close_total") === 2);
    return world.metrics.families;
  } finally {
    world.close();
  }
}

/** What a proxy as a process tells without traffic. */
async function processFamilies(): Promise<string[]> {
  const authority = createTestAuthority();
  const plane = new ControlPlane({ authority });
  const proxy = startProxyProcess(await plane.start(), authority, {
    LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR: "127.0.0.1:4317",
  });
  try {
    const admin = await proxy.admin();
    await until("readiness", () => proxy.output().includes("ready in"), 10_000);
    const text = await (await fetch(`${admin}/metrics`)).text();
    return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name);
  } finally {
    await proxy.stop();
    plane.stop();
  }
}

describe("the metric families of the reference", () => {
  const told = new Set<string>();
  before(async () => {
    const seen = [await inboundFamilies(), await outboundFamilies(), await processFamilies()].flat();
    for (const name of seen) {
      told.add(name);
      const other = TOGETHER[name];
      if (other !== undefined) told.add(other);
    }
  });
  after(() => told.clear());

  it("are all told of, but for what is left out for a reason", () => {
    const missing = REFERENCE.filter((name) => !told.has(name) && !LEFT_OUT.some(([family]) => family.test(name)));
    assert.deepEqual(missing, []);
  });

  it("are not told of where they are said to be left out", () => {
    const both = REFERENCE.filter((name) => told.has(name) && LEFT_OUT.some(([family]) => family.test(name)));
    assert.deepEqual(both, []);
  });

  it("are those alone, and some that begin with this project's name", () => {
    const more = [...told].filter((name) => !REFERENCE.includes(name) && !name.startsWith("weft_"));
    assert.deepEqual(more, []);
  });
});
