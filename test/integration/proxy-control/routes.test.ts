/** The outbound side over real sockets and a scripted control plane: every feature of routes as a client and its servers see it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  Agent,
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  request as send,
} from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { DestinationProfile } from "../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import type {
  Backend,
  FailureAccrual,
  HttpRoute_Filter,
  HttpRoute_Retry,
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
const ORIGINAL = { ip: "10.96.0.1", port: 80 };
const TARGET = "10.96.0.1:80";
const path = (name: string): string => `${name}.shop.svc.cluster.local:80`;

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

class World {
  readonly plane = new ControlPlane({ authority });
  readonly metrics = new Recorder();
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #servers: Server[] = [];
  #port = 0;
  readonly #closers: (() => void)[] = [];

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
      transport: createTransport(() => ORIGINAL),
      listen: [{ ip: "127.0.0.1", port: 0 }],
      identity: clients.identity,
      metrics: this.metrics,
      tap: noTap,
      ips: new Set(),
      connectTimeoutMs: 1_000,
      targets: discovery,
    });
    this.#port = outbound.addresses[0]?.port ?? 0;
    this.#closers.push(
      () => outbound.close(),
      () => discovery.close(),
      () => clients.close(),
    );
  }

  /** A server behind the balancer of `name`. @returns the bodies of the requests it got */
  async server(name: string, ...handlers: Handler[]): Promise<string[]> {
    const bodies: string[] = [];
    const endpoints = [];
    for (const handler of handlers) {
      const server = createServer((request, response) => {
        let body = "";
        request.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        request.on("end", () => {
          bodies.push(body);
          handler(request, response, body);
        });
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      this.#servers.push(server);
      endpoints.push({ ip: "127.0.0.1", port: (server.address() as AddressInfo).port });
    }
    this.plane.destination(path(name)).first = [add(endpoints)];
    return bodies;
  }

  ask(
    target: string,
    options: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Reply> {
    const { method = "GET", headers = {}, body } = options;
    return new Promise((resolve, reject) => {
      const request = send(
        {
          host: "127.0.0.1",
          port: this.#port,
          path: target,
          method,
          agent: this.#agent,
          headers: { host: "web", ...headers },
        },
        (response) => {
          let text = "";
          response.on("data", (chunk: Buffer) => {
            text += chunk.toString();
          });
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
          );
          response.on("error", reject);
        },
      );
      request.on("error", reject);
      request.end(body);
    });
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
    this.#agent.destroy();
    for (const close of this.#closers) close();
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
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
  (text: string): Handler =>
  (_request, response) => {
    response.end(text);
  };

const echoes: Handler = (request, response) => {
  response.setHeader("x-inner", "1");
  response.end(JSON.stringify({ url: request.url, headers: request.headers }));
};

function rule(to: string | Record<string, number>, parts: Partial<HttpRoute_Rule> = {}): HttpRoute_Rule {
  const backendOf = (name: string) => ({ backend: balancer(path(name)), filters: [], requestTimeout: undefined });
  return {
    matches: [],
    filters: [],
    backends:
      typeof to === "string"
        ? { kind: { $case: "firstAvailable", value: { backends: [backendOf(to)] } } }
        : {
            kind: {
              $case: "randomAvailable",
              value: { backends: Object.entries(to).map(([name, weight]) => ({ backend: backendOf(name), weight })) },
            },
          },
    requestTimeout: undefined,
    timeouts: undefined,
    retry: undefined,
    allowL5dRequestHeaders: false,
    ...parts,
  };
}

function policy(
  rules: HttpRoute_Rule[],
  failureAccrual?: FailureAccrual,
  main: Backend = balancer(path("web")),
): OutboundPolicy {
  const base = detectPolicy(main, { namespace: "shop", name: "web", port: 80 });
  const detect = base.protocol?.kind;
  assert.equal(detect?.$case, "detect");
  const routes = [{ metadata: { kind: { $case: "default" as const, value: "test" } }, hosts: [], rules }];
  detect.value.http1 = { routes, failureAccrual };
  detect.value.http2 = { routes, failureAccrual };
  return base;
}

function prefix(value: string): HttpRoute_Rule["matches"] {
  return [{ path: { kind: { $case: "prefix", value } }, headers: [], queryParams: [], method: undefined }];
}

function retry(parts: Partial<HttpRoute_Retry> = {}): HttpRoute_Retry {
  return {
    maxRetries: 2,
    maxRequestBytes: 65_536,
    conditions: { statusRanges: [{ start: 500, end: 599 }] },
    timeout: undefined,
    backoff: ms(5),
    ...parts,
  };
}

function ms(value: number) {
  return {
    minBackoff: duration(value),
    maxBackoff: duration(value * 10),
    jitterRatio: 0,
    respectRetryAfterHint: false,
  };
}

function duration(value: number) {
  return { seconds: BigInt(Math.floor(value / 1_000)), nanos: (value % 1_000) * 1e6 };
}

describe("routes on the outbound side", () => {
  it("lead by path, edit heads both ways and rewrite", () =>
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
      await it.server("web", says("web"));
      await it.server("api", echoes);
      it.plane.policy(TARGET).first = [policy([rule("web"), rule("api", { matches: prefix("/api"), filters })])];
      assert.equal((await it.ask("/")).body, "web");
      const reply = await it.ask("/api/x?q=1", { headers: { "x-gone": "1", "x-set": "old", "x-kept": "1" } });
      const seen = JSON.parse(reply.body) as { url: string; headers: Record<string, string> };
      assert.equal(seen.url, "/v2/x?q=1");
      assert.equal(seen.headers["host"], "inner.example");
      assert.equal(seen.headers["x-set"], "new");
      assert.equal(seen.headers["x-gone"], undefined);
      assert.equal(seen.headers["x-kept"], "1");
      assert.equal(reply.headers["x-added"], "yes");
      assert.equal(reply.headers["x-inner"], undefined);
      const posted = await it.ask("/api/y", { method: "POST", body: "x".repeat(100_000) });
      assert.equal(posted.status, 200);
    }));

  it("answer with redirects, failures on purpose, and 404", () =>
    world(async (it) => {
      await it.server("web", says("web"));
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
        policy([
          rule("web", { matches: prefix("/old"), filters: [redirect] }),
          rule("web", { matches: prefix("/bad"), filters: [fault] }),
        ]),
      ];
      const moved = await it.ask("/old/a?b=1");
      assert.deepEqual([moved.status, moved.headers.location], [301, "http://elsewhere.example/old/a?b=1"]);
      const bad = await it.ask("/bad");
      assert.deepEqual([bad.status, bad.headers["l5d-proxy-error"]], [418, "on purpose"]);
      assert.equal((await it.ask("/none")).status, 404);
      const statuses = "outbound_http_route_request_statuses_total";
      assert.equal(it.sum(statuses, 'http_status="301",error=""'), 1);
      assert.equal(it.sum(statuses, 'http_status="418",error=""'), 1);
      assert.equal(it.sum("outbound_http_route_backend_requests_total"), 0, "none was sent");
    }));

  it("share requests by weight", () =>
    world(async (it) => {
      await it.server("a", says("a"));
      await it.server("b", says("b"));
      it.plane.policy(TARGET).first = [policy([rule({ a: 9, b: 1 })], undefined, balancer(path("a")))];
      const counts: Record<string, number> = {};
      for (let count = 0; count < 300; count++) {
        const { body } = await it.ask("/");
        counts[body] = (counts[body] ?? 0) + 1;
      }
      assert.ok((counts["a"] ?? 0) > 230 && (counts["b"] ?? 0) > 8, JSON.stringify(counts));
    }));

  it("try again, with the request's body, and give up at the limit or where the body is too large", () =>
    world(async (it) => {
      let failures = 2;
      const bodies = await it.server("web", (_request, response, body) => {
        response.statusCode = failures-- > 0 ? 503 : 200;
        response.end(`${response.statusCode} ${body.length}`);
      });
      it.plane.policy(TARGET).first = [policy([rule("web", { retry: retry() })])];
      assert.equal((await it.ask("/", { method: "POST", body: "hello" })).body, "200 5");
      assert.deepEqual(bodies, ["hello", "hello", "hello"]);
      failures = 3;
      assert.equal((await it.ask("/")).body, "503 0");
      failures = 1;
      const large = "x".repeat(100_000);
      assert.equal((await it.ask("/", { method: "POST", body: large })).body, "503 100000");
      assert.equal((await it.ask("/", { method: "POST", body: large })).body, "200 100000");
      failures = 1;
      assert.equal((await it.ask("/", { method: "POST", body: "y".repeat(60_000) })).body, "200 60000");
      const own = ['parent_namespace="shop"', 'parent_name="web"', 'parent_port="80"', 'route_name="test"'];
      const statuses = "outbound_http_route_request_statuses_total";
      assert.equal(it.sum(statuses, 'http_status="200"', ...own), 3, "what clients got");
      assert.equal(it.sum(statuses, 'http_status="503"', ...own), 2);
      assert.equal(it.sum("outbound_http_route_request_duration_seconds_count", ...own), 5);
      const tries = "outbound_http_route_backend_response_statuses_total";
      assert.equal(it.sum(tries, 'http_status="200"', ...own), 3, "what was sent");
      assert.equal(it.sum(tries, 'http_status="503"', ...own), 7);
      assert.equal(it.sum("outbound_http_route_backend_requests_total", ...own), 10);
      assert.equal(it.sum("outbound_http_route_backend_response_duration_seconds_count", ...own), 10);
      assert.equal(it.sum("outbound_http_route_retry_requests_total", ...own), 5);
      assert.equal(it.sum("outbound_http_route_retry_successes_total", ...own), 2);
      assert.equal(it.sum("outbound_http_route_retry_limit_exceeded_total", ...own), 1);
      assert.ok(it.sum("outbound_http_route_request_frame_size_bytes_count", ...own) >= 4);
      assert.ok(it.sum("outbound_http_route_backend_response_frame_size_bytes_count", ...own) >= 5);
    }));

  it("end tries and requests in time", () =>
    world(async (it) => {
      let slow = 1;
      await it.server("web", (request, response) => {
        if (request.url === "/hang") return;
        if (slow-- > 0) setTimeout(() => response.end("late"), 2_000).unref();
        else response.end("prompt");
      });
      it.plane.policy(TARGET).first = [
        policy([
          rule("web", { retry: retry({ timeout: duration(100) }) }),
          rule("web", {
            matches: prefix("/hang"),
            timeouts: { request: duration(150), response: undefined, idle: undefined },
          }),
        ]),
      ];
      assert.equal((await it.ask("/")).body, "prompt");
      const began = performance.now();
      const reply = await it.ask("/hang");
      const took = performance.now() - began;
      assert.equal(reply.status, 504);
      assert.ok(took > 140 && took < 1_000, `${took} ms`);
      assert.equal((await it.ask("/")).body, "prompt");
      const statuses = "outbound_http_route_request_statuses_total";
      assert.equal(it.sum(statuses, 'http_status="",error="REQUEST_TIMEOUT"'), 1);
      assert.equal(it.sum(statuses, 'http_status="200",error=""'), 2);
      assert.equal(it.sum("outbound_http_route_backend_response_statuses_total", 'error="REQUEST_TIMEOUT"'), 1);
      assert.equal(
        it.sum("outbound_http_route_backend_response_statuses_total", 'error="RESPONSE_HEADERS_TIMEOUT"'),
        1,
      );
    }));

  it("obey a request's own wishes only where they are allowed", () =>
    world(async (it) => {
      await it.server("web", (request, response) => {
        setTimeout(() => response.end(JSON.stringify(Object.keys(request.headers))), 200);
      });
      it.plane.policy(TARGET).first = [
        policy([rule("web"), rule("web", { matches: prefix("/mine"), allowL5dRequestHeaders: true })]),
      ];
      const headers = { "l5d-request-timeout": "50ms" };
      assert.equal((await it.ask("/", { headers })).status, 200);
      assert.equal((await it.ask("/mine", { headers })).status, 504);
      const relaxed = await it.ask("/mine", { headers: { "l5d-request-timeout": "5s" } });
      assert.equal(relaxed.status, 200);
      assert.ok(!relaxed.body.includes("l5d-request-timeout"));
      const required = await it.ask("/", { headers: { "l5d-require-id": "somebody.else" } });
      assert.equal(required.status, 502);
    }));

  it("leave an endpoint that fails alone, and come back when it is well", () =>
    world(async (it) => {
      let ill = true;
      let asked = 0;
      await it.server("web", (_request, response) => {
        asked++;
        response.statusCode = ill ? 500 : 200;
        response.end("ill");
      });
      const accrual: FailureAccrual = {
        kind: { $case: "consecutiveFailures", value: { maxFailures: 3, backoff: ms(400) } },
        ejection: undefined,
      };
      it.plane.policy(TARGET).first = [policy([rule("web")], accrual)];
      for (let count = 0; count < 3; count++) assert.equal((await it.ask("/")).status, 500);
      const began = performance.now();
      const waiting = it.ask("/");
      await sleep(100);
      assert.equal(asked, 3);
      ill = false;
      assert.equal((await waiting).status, 200);
      const took = performance.now() - began;
      assert.ok(took > 300 && took < 2_000, `${took} ms`);
      assert.equal((await it.ask("/")).status, 200);
    }));

  it("give way to a ServiceProfile's overrides and routes", () =>
    world(async (it) => {
      await it.server("web", says("web"));
      await it.server("canary", echoes);
      it.plane.policy(TARGET).first = [policy([rule("web")])];
      const profile: DestinationProfile = {
        fullyQualifiedName: "web.shop.svc.cluster.local",
        opaqueProtocol: false,
        routes: [],
        retryBudget: undefined,
        dstOverrides: [{ authority: path("canary"), weight: 10_000, backendRef: undefined }],
        endpoint: undefined,
        parentRef: undefined,
        profileRef: undefined,
      };
      it.plane.profile(TARGET).first = [profile];
      const { headers } = JSON.parse((await it.ask("/")).body) as { headers: Record<string, string> };
      assert.equal(headers["l5d-dst-canonical"], "web.shop.svc.cluster.local:80");
      it.plane.profile(TARGET).push({ ...profile, dstOverrides: [] });
      await sleep(700);
      assert.equal((await it.ask("/")).body, "web");
    }));

  it("tell of a ServiceProfile's routes by the labels that it gives them", () =>
    world(async (it) => {
      let failures = 1;
      await it.server("web", (_request, response) => {
        response.statusCode = failures-- > 0 ? 500 : 200;
        response.end("web");
      });
      it.plane.policy(TARGET).first = [policy([rule("web")])];
      it.plane.profile(TARGET).first = [
        {
          fullyQualifiedName: "web.shop.svc.cluster.local",
          opaqueProtocol: false,
          routes: [
            {
              condition: { match: { $case: "path", value: { regex: "/books" } } },
              responseClasses: [],
              metricsLabels: { route: "/books" },
              isRetryable: true,
              timeout: undefined,
            },
          ],
          retryBudget: undefined,
          dstOverrides: [],
          endpoint: undefined,
          parentRef: undefined,
          profileRef: undefined,
        },
      ];
      assert.equal((await it.ask("/books")).status, 200);
      assert.equal((await it.ask("/books")).status, 200);
      assert.equal((await it.ask("/other")).status, 200);
      const own = ['direction="outbound",dst="web.shop.svc.cluster.local:80"', 'rt_route="/books"'];
      assert.equal(it.sum("route_request_total", ...own), 2);
      assert.equal(it.sum("route_response_total", 'status_code="200",classification="success"', ...own), 2);
      assert.equal(it.sum("route_response_total", 'classification="failure"', ...own), 0);
      assert.equal(it.sum("route_actual_request_total", ...own), 3);
      assert.equal(it.sum("route_actual_response_total", 'status_code="500",classification="failure"', ...own), 1);
      assert.equal(it.sum("route_retryable_total", ...own), 1);
      assert.equal(it.sum("route_request_total", 'dst="web.shop.svc.cluster.local:80"'), 3, "and of the others");
    }));

  it("follow a new policy without losing what is under way", () =>
    world(async (it) => {
      await it.server("web", (_request, response) => setTimeout(() => response.end("old"), 900));
      await it.server("next", says("new"));
      it.plane.policy(TARGET).first = [policy([rule("web")])];
      const under = it.ask("/");
      await sleep(500);
      it.plane.policy(TARGET).push(policy([rule("next")], undefined, balancer(path("next"))));
      assert.equal((await under).body, "old");
      assert.equal((await it.ask("/")).body, "new");
    }));
});
