/** The outbound side's routes over HTTP/2 and gRPC, as a client and its servers see them: real sockets, a scripted control plane. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import type {
  GrpcRoute_Rule,
  HttpRoute_Filter,
  HttpRoute_Rule,
  OutboundPolicy,
} from "../../../runtime/api/gen/io/linkerd/proxy/outbound.ts";
import { Discovery } from "../../../runtime/proxy/outbound/discovery.ts";
import { startOutbound } from "../../../runtime/proxy/outbound/outbound.ts";
import { parseNetwork } from "../../../runtime/proxy/policy/networks.ts";
import { createTransport } from "../../../runtime/proxy/transport/transport.ts";
import { noTap, Recorder } from "../proxy-data-plane/support/static.ts";
import { createTestAuthority } from "./support/authority.ts";
import { connect, silent } from "./support/clients.ts";
import { ControlPlane } from "./support/control-plane.ts";
import { add, balancer, detectPolicy } from "./support/messages.ts";

const authority = createTestAuthority();
const TARGET = "10.96.0.1:80";
const path = (name: string): string => `${name}.shop.svc.cluster.local:80`;

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: string) => void;

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
  readonly code: number;
}

class World {
  readonly plane = new ControlPlane({ authority });
  readonly metrics = new Recorder();
  readonly #servers: Http2Server[] = [];
  readonly #closers: (() => void)[] = [];
  #session: ClientHttp2Session | undefined;

  async start(): Promise<void> {
    const clients = await connect(this.plane);
    await clients.identity.ready;
    const discovery = new Discovery({
      policyClient: clients.client(),
      destinationClient: clients.client(),
      policy: { workload: "client" },
      destination: { context: "", profileNetworks: [parseNetwork("10.0.0.0/8")] },
      streams: { initialMs: 2_000, idleMs: 60_000, lifetimeMs: 3_600_000 },
      outbound: { discoveryIdleMs: 5_000, detectTimeoutMs: 10_000 },
      log: silent,
      metrics: this.metrics,
    });
    const outbound = await startOutbound({
      transport: createTransport(() => ({ ip: "10.96.0.1", port: 80 })),
      listen: [{ ip: "127.0.0.1", port: 0 }],
      identity: clients.identity,
      metrics: this.metrics,
      tap: noTap,
      ips: new Set(),
      connectTimeoutMs: 1_000,
      targets: discovery,
    });
    this.#session = connectHttp2(`http://127.0.0.1:${outbound.addresses[0]?.port}`);
    this.#session.on("error", () => undefined);
    this.#closers.push(
      () => this.#session?.destroy(),
      () => outbound.close(),
      () => discovery.close(),
      () => clients.close(),
    );
  }

  /** A server behind the balancer of `name`. @returns the bodies of the requests it got */
  async server(name: string, handler: Handler): Promise<string[]> {
    const bodies: string[] = [];
    const server = createServer();
    server.on("stream", (stream, headers) => {
      let body = "";
      stream.on("error", () => undefined);
      stream.on("data", (chunk) => {
        body += chunk;
      });
      stream.on("end", () => {
        bodies.push(body);
        handler(stream, headers, body);
      });
    });
    server.on("session", (session) => this.#closers.push(() => session.destroy()));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#servers.push(server);
    this.plane.destination(path(name)).first = [
      add([{ ip: "127.0.0.1", port: (server.address() as AddressInfo).port }]),
    ];
    return bodies;
  }

  ask(target: string, headers: OutgoingHttpHeaders = {}, body?: string): Promise<Reply> {
    const method = body === undefined ? "GET" : "POST";
    const session = this.#session as ClientHttp2Session;
    const stream = session.request(
      { ":method": method, ":path": target, ":authority": "web", ...headers },
      { endStream: body === undefined },
    );
    if (body !== undefined) stream.end(body);
    return new Promise((resolve) => {
      let status = 0;
      let got: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      let text = "";
      stream.on("response", (fields) => {
        status = Number(fields[":status"]);
        got = fields;
      });
      stream.on("trailers", (fields) => {
        trailers = fields;
      });
      stream.on("data", (chunk) => {
        text += chunk;
      });
      stream.on("error", () => undefined);
      stream.on("close", () => resolve({ status, headers: got, trailers, body: text, code: stream.rstCode ?? 0 }));
    });
  }

  call(method: string, headers: OutgoingHttpHeaders = {}): Promise<Reply> {
    return this.ask(method, { "content-type": "application/grpc", te: "trailers", ...headers }, "message");
  }

  /** All series of `name` whose labels contain each of `labels`, in sum. */
  sum(name: string, ...labels: string[]): number {
    let sum = 0;
    for (const [key, value] of this.metrics.values) {
      if (key.startsWith(`${name}{`) && labels.every((label) => key.includes(label))) sum += value;
    }
    return sum;
  }

  close(): void {
    for (const close of this.#closers) close();
    for (const server of this.#servers) server.close();
  }
}

async function world(run: (world: World) => Promise<void>): Promise<void> {
  const made = new World();
  try {
    await made.start();
    await run(made);
  } finally {
    made.close();
  }
}

const says =
  (status: number, text: string, headers: OutgoingHttpHeaders = {}): Handler =>
  (stream) => {
    stream.respond({ ":status": status, ...headers });
    stream.end(text);
  };

const echoes: Handler = (stream, headers) => {
  stream.respond({ ":status": 200, "x-inner": "1" });
  stream.end(JSON.stringify(headers));
};

/** An answer of gRPC with its status in trailers, after a head and `body`. */
function answers(stream: ServerHttp2Stream, status: number, body: string): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(status), "grpc-message": "told" }));
  stream.end(body);
}

const duration = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1e6 });
const backoff = {
  minBackoff: duration(5),
  maxBackoff: duration(50),
  jitterRatio: 0,
  respectRetryAfterHint: false,
};
const REST = { requestTimeout: undefined, timeouts: undefined, retry: undefined, allowL5dRequestHeaders: false };

function rule(to: string, parts: Partial<HttpRoute_Rule> = {}): HttpRoute_Rule {
  const backends = [{ backend: balancer(path(to)), filters: [], requestTimeout: undefined }];
  return {
    matches: [],
    filters: [],
    backends: { kind: { $case: "firstAvailable", value: { backends } } },
    ...REST,
    ...parts,
  };
}

function grpcRule(to: string, parts: Partial<GrpcRoute_Rule> = {}): GrpcRoute_Rule {
  const backends = [{ backend: balancer(path(to)), filters: [], requestTimeout: undefined }];
  return {
    matches: [],
    filters: [],
    backends: { kind: { $case: "firstAvailable", value: { backends } } },
    ...REST,
    ...parts,
  };
}

const metadata = { kind: { $case: "default" as const, value: "test" } };
const SHOP = { namespace: "shop", name: "web", port: 80 };

function policy(...rules: HttpRoute_Rule[]): OutboundPolicy {
  const base = detectPolicy(balancer(path("web")), SHOP);
  const detect = base.protocol?.kind;
  assert.equal(detect?.$case, "detect");
  // As the control plane sends them: the same for both.
  detect.value.http1 = { routes: [{ metadata, hosts: [], rules }], failureAccrual: undefined };
  detect.value.http2 = detect.value.http1;
  return base;
}

function grpcPolicy(...rules: GrpcRoute_Rule[]): OutboundPolicy {
  const base = detectPolicy(balancer(path("web")), SHOP);
  const routes = [{ metadata, hosts: [], rules }];
  base.protocol = { kind: { $case: "grpc", value: { routes, failureAccrual: undefined } } };
  return base;
}

function prefix(value: string): HttpRoute_Rule["matches"] {
  return [{ path: { kind: { $case: "prefix", value } }, headers: [], queryParams: [], method: undefined }];
}

const statuses = "outbound_http_route_request_statuses_total";

describe("routes over HTTP/2", () => {
  it("edit heads both ways and rewrite; what clients say of the mesh is not passed on", () =>
    world(async (it) => {
      const bytes = (value: string): Buffer => Buffer.from(value);
      const filters: HttpRoute_Filter[] = [
        {
          kind: {
            $case: "requestHeaderModifier",
            value: { add: undefined, set: { headers: [{ name: "X-Set", value: bytes("new") }] }, remove: ["x-gone"] },
          },
        },
        {
          kind: {
            $case: "responseHeaderModifier",
            value: {
              add: { headers: [{ name: "x-added", value: bytes("yes") }] },
              set: undefined,
              remove: ["x-inner"],
            },
          },
        },
        {
          kind: {
            $case: "urlRewrite",
            value: { host: "inner.example", path: { replace: { $case: "prefix", value: "/v2" } } },
          },
        },
      ];
      await it.server("web", says(200, "web"));
      await it.server("api", echoes);
      it.plane.policy(TARGET).first = [policy(rule("web"), rule("api", { matches: prefix("/api"), filters }))];
      assert.equal((await it.ask("/")).body, "web");
      const headers = { "x-gone": "1", "x-set": "old", "x-kept": "1", "l5d-client-id": "liar" };
      const reply = await it.ask("/api/x?q=1", headers);
      const seen = JSON.parse(reply.body) as Record<string, string>;
      assert.equal(seen[":path"], "/v2/x?q=1");
      assert.equal(seen[":authority"], "inner.example");
      assert.deepEqual([seen["x-set"], seen["x-gone"], seen["x-kept"]], ["new", undefined, "1"]);
      assert.equal(seen["l5d-client-id"], undefined);
      assert.deepEqual([reply.headers["x-added"], reply.headers["x-inner"]], ["yes", undefined]);
    }));

  it("answer with redirects, failures on purpose, and 404; a body that nobody wants holds nobody up", () =>
    world(async (it) => {
      await it.server("web", says(200, "web"));
      const redirect: HttpRoute_Filter = {
        kind: {
          $case: "redirect",
          value: { scheme: undefined, host: "elsewhere.example", path: undefined, port: 0, status: 301 },
        },
      };
      const fault: HttpRoute_Filter = {
        kind: { $case: "failureInjector", value: { status: 418, message: "on purpose", ratio: undefined } },
      };
      it.plane.policy(TARGET).first = [
        policy(
          rule("web", { matches: prefix("/old"), filters: [redirect] }),
          rule("web", { matches: prefix("/bad"), filters: [fault] }),
        ),
      ];
      const moved = await it.ask("/old/a?b=1");
      assert.deepEqual([moved.status, moved.headers.location], [301, "http://elsewhere.example/old/a?b=1"]);
      const bad = await it.ask("/bad", {}, "x".repeat(500_000));
      assert.deepEqual([bad.status, bad.headers["l5d-proxy-error"]], [418, "on purpose"]);
      assert.equal((await it.ask("/none")).status, 404);
      assert.equal(it.sum(statuses, 'http_status="301",error=""'), 1);
      assert.equal(it.sum(statuses, 'http_status="418",error=""'), 1);
      assert.equal(it.sum("outbound_http_route_backend_requests_total"), 0, "none was sent");
    }));

  it("try again, with the request's body, and give up at the limit or where the body is too large", () =>
    world(async (it) => {
      let failures = 2;
      const bodies = await it.server("web", (stream, _headers, body) => {
        const status = failures-- > 0 ? 503 : 200;
        says(status, `${status} ${body.length}`)(stream, {}, body);
      });
      const retry = {
        maxRetries: 2,
        maxRequestBytes: 65_536,
        conditions: { statusRanges: [{ start: 500, end: 599 }] },
        timeout: undefined,
        backoff,
      };
      it.plane.policy(TARGET).first = [policy(rule("web", { retry }))];
      assert.equal((await it.ask("/", {}, "hello")).body, "200 5");
      assert.deepEqual(bodies, ["hello", "hello", "hello"]);
      failures = 3;
      assert.equal((await it.ask("/")).body, "503 0");
      failures = 1;
      assert.equal((await it.ask("/", {}, "x".repeat(100_000))).body, "503 100000");
      failures = 1;
      assert.equal((await it.ask("/", {}, "y".repeat(60_000))).body, "200 60000");
      assert.equal(it.sum(statuses, 'http_status="200"'), 2, "what clients got");
      assert.equal(it.sum(statuses, 'http_status="503"'), 2);
      assert.equal(it.sum("outbound_http_route_backend_requests_total"), 9, "what was sent");
      assert.equal(it.sum("outbound_http_route_retry_requests_total"), 5);
      assert.equal(it.sum("outbound_http_route_retry_successes_total"), 2);
      assert.equal(it.sum("outbound_http_route_retry_limit_exceeded_total"), 1);
    }));

  it("end tries, requests and answers in time", () =>
    world(async (it) => {
      let slow = 1;
      await it.server("web", (stream, headers) => {
        if (headers[":path"] === "/hang") return;
        if (headers[":path"] === "/drip") {
          stream.respond({ ":status": 200 });
          stream.write("begun");
          return;
        }
        if (slow-- > 0) return;
        stream.respond({ ":status": 200 });
        stream.end("prompt");
      });
      const retry = {
        maxRetries: 2,
        maxRequestBytes: 65_536,
        conditions: undefined,
        timeout: duration(100),
        backoff,
      };
      const timeouts = { request: duration(150), response: undefined, idle: undefined };
      it.plane.policy(TARGET).first = [
        policy(
          rule("web", { retry }),
          rule("web", { matches: prefix("/hang"), timeouts }),
          rule("web", { matches: prefix("/drip"), timeouts }),
        ),
      ];
      assert.equal((await it.ask("/")).body, "prompt");
      const began = performance.now();
      assert.equal((await it.ask("/hang")).status, 504);
      const took = performance.now() - began;
      assert.ok(took > 140 && took < 1_000, `${took} ms`);
      const drip = await it.ask("/drip");
      assert.deepEqual([drip.status, drip.body, drip.code], [200, "begun", 8]);
      assert.equal(it.sum(statuses, 'error="REQUEST_TIMEOUT"'), 2);
      assert.equal(
        it.sum("outbound_http_route_backend_response_statuses_total", 'error="RESPONSE_HEADERS_TIMEOUT"'),
        1,
      );
    }));

  it("obey a request's own wishes only where they are allowed", () =>
    world(async (it) => {
      await it.server("web", (stream, headers) => {
        setTimeout(() => {
          if (!stream.closed) says(200, Object.keys(headers).join())(stream, {}, "");
        }, 200);
      });
      it.plane.policy(TARGET).first = [
        policy(rule("web"), rule("web", { matches: prefix("/mine"), allowL5dRequestHeaders: true })),
      ];
      const headers = { "l5d-request-timeout": "50ms" };
      assert.equal((await it.ask("/", headers)).status, 200);
      assert.equal((await it.ask("/mine", headers)).status, 504);
      const relaxed = await it.ask("/mine", { "l5d-request-timeout": "5s" });
      assert.equal(relaxed.status, 200);
      assert.ok(!relaxed.body.includes("l5d-request-timeout"));
      assert.equal((await it.ask("/", { "l5d-require-id": "somebody.else" })).status, 502);
    }));
});

describe("routes of gRPC", () => {
  const match = (service: string, method: string): GrpcRoute_Rule["matches"] => [
    { rpc: { service, method }, headers: [] },
  ];
  const conditions = {
    cancelled: false,
    deadineExceeded: false,
    resourceExhausted: false,
    internal: false,
    unavailable: true,
  };
  const grpcStatuses = "outbound_grpc_route_request_statuses_total";

  it("lead by service and method; what has no route is told so in headers", () =>
    world(async (it) => {
      await it.server("web", (stream) => answers(stream, 0, "web"));
      await it.server("api", (stream) => answers(stream, 0, "api"));
      it.plane.policy(TARGET).first = [
        grpcPolicy(
          grpcRule("web", { matches: match("shop.Carts", "") }),
          grpcRule("api", { matches: match("shop.Carts", "Add") }),
        ),
      ];
      assert.equal((await it.call("/shop.Carts/Add")).body, "api");
      const { body, trailers } = await it.call("/shop.Carts/Get");
      assert.deepEqual([body, trailers["grpc-status"]], ["web", "0"]);
      const none = await it.call("/shop.Orders/Get");
      assert.equal(none.status, 200);
      assert.match(String(none.headers["grpc-status"]), /^(5|12)$/);
      assert.equal(it.sum(grpcStatuses, 'grpc_status="OK"'), 2);
    }));

  it("fail on purpose, with a status of gRPC", () =>
    world(async (it) => {
      await it.server("web", (stream) => answers(stream, 0, "web"));
      const fault = {
        kind: { $case: "failureInjector" as const, value: { code: 8, message: "enough", ratio: undefined } },
      };
      it.plane.policy(TARGET).first = [grpcPolicy(grpcRule("web", { filters: [fault] }))];
      const reply = await it.call("/shop.Carts/Add");
      assert.deepEqual([reply.status, reply.headers["grpc-status"], reply.body], [200, "8", ""]);
    }));

  it("try again for a status in the trailers, in the head, and not for others", () =>
    world(async (it) => {
      const failures: ((stream: ServerHttp2Stream) => void)[] = [];
      const bodies = await it.server("web", (stream) =>
        (failures.shift() ?? ((each) => answers(each, 0, "fine")))(stream),
      );
      const retry = { maxRetries: 2, maxRequestBytes: 65_536, conditions, timeout: undefined, backoff };
      it.plane.policy(TARGET).first = [grpcPolicy(grpcRule("web", { retry }))];
      const inTrailers = (stream: ServerHttp2Stream): void => answers(stream, 14, "");
      const inHead = (stream: ServerHttp2Stream): void => {
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": "14" },
          { endStream: true },
        );
      };
      failures.push(inTrailers, inHead);
      const { body, trailers } = await it.call("/shop.Carts/Add");
      assert.deepEqual([body, trailers["grpc-status"]], ["fine", "0"]);
      assert.deepEqual(bodies, ["message", "message", "message"]);
      failures.push(inTrailers, inTrailers, inTrailers);
      assert.equal((await it.call("/shop.Carts/Add")).trailers["grpc-status"], "14");
      failures.push((stream) => answers(stream, 13, ""));
      assert.equal((await it.call("/shop.Carts/Add")).trailers["grpc-status"], "13");
      // Something of it is with the client already: too late for another try.
      failures.push((stream) => answers(stream, 14, "partly"));
      const partly = await it.call("/shop.Carts/Add");
      assert.deepEqual([partly.body, partly.trailers["grpc-status"]], ["partly", "14"]);
      assert.equal(it.sum("outbound_grpc_route_retry_requests_total"), 4);
      assert.equal(it.sum(grpcStatuses, 'grpc_status="OK"'), 1);
      assert.equal(it.sum(grpcStatuses, 'grpc_status="UNAVAILABLE"'), 2);
      assert.equal(it.sum("outbound_grpc_route_backend_requests_total"), 8);
    }));
});
