import assert from "node:assert/strict";
import { connect as dial } from "node:net";
import { describe, it } from "node:test";
import { ChannelCredentials, type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import type { ObserveRequest, TapEvent } from "../../../runtime/api/gen/io/linkerd/proxy/tap.ts";
import { TapClient } from "../../../runtime/api/service-clients.ts";
import type { TapRequest } from "../../../runtime/proxy/tap/hub.ts";
import { startTapListener } from "../../../runtime/proxy/tap/listener.ts";
import { TapWatchers } from "../../../runtime/proxy/tap/watchers.ts";
import { certificatePem, issueLeaf } from "../../../runtime/x509/certificate.ts";
import { generateKeyPair, privateKeyPem } from "../../../runtime/x509/keys.ts";
import { createTestAuthority, type TestAuthority } from "./support/authority.ts";
import { connect, PROXY_IDENTITY, silent } from "./support/clients.ts";
import { CONTROLLER_IDENTITY, ControlPlane } from "./support/control-plane.ts";
import { until } from "./support/until.ts";

const authority = createTestAuthority();
const everything: ObserveRequest = { limit: 10, match: undefined, extract: undefined };
const withHeaders = { extract: { $case: "http", value: { extract: { $case: "headers", value: {} } } } } as const;

async function world(
  run: (watchers: TapWatchers, client: (name: string, by?: TestAuthority) => TapClient, port: number) => Promise<void>,
): Promise<void> {
  const clients = await connect(new ControlPlane({ authority }));
  await clients.identity.ready;
  const watchers = new TapWatchers();
  const listener = await startTapListener({
    listen: { ip: "127.0.0.1", port: 0 },
    clientName: CONTROLLER_IDENTITY,
    identity: clients.identity,
    watchers,
    log: silent,
  });
  const open: TapClient[] = [];
  const client = (name: string, by = authority): TapClient => {
    const keys = generateKeyPair();
    const leaf = issueLeaf(by.issuer, {
      publicKey: keys.publicKey,
      dnsNames: [name],
      notBefore: new Date(Date.now() - 20_000),
      notAfter: new Date(Date.now() + 60_000),
    });
    const tap = new TapClient(
      `127.0.0.1:${listener.address.port}`,
      ChannelCredentials.createSsl(
        Buffer.from(authority.anchorsPem),
        Buffer.from(privateKeyPem(keys.privateKey)),
        Buffer.from(certificatePem(leaf) + certificatePem(by.issuer.certificate)),
      ),
      { "grpc.ssl_target_name_override": PROXY_IDENTITY },
    );
    open.push(tap);
    return tap;
  };
  try {
    await run(watchers, client, listener.address.port);
  } finally {
    for (const tap of open) tap.close();
    listener.close();
    clients.close();
  }
}

function request(changes: Partial<TapRequest> = {}): TapRequest {
  return {
    direction: "inbound",
    source: { ip: "10.1.0.1", port: 40_000 },
    destination: { ip: "10.1.0.2", port: 8080 },
    sourceLabels: [["client_id", "planner.shop"]],
    destinationLabels: [
      ["tls", "true"],
      ["dst_pod", "web-1"],
    ],
    routeLabels: [["route_name", "default"]],
    method: "GET",
    scheme: "http",
    authority: "web.shop",
    path: "/a?b=c",
    headers: () => [
      ["host", "web.shop"],
      ["authorization", "Bearer secret"],
      ["x-api-key", "secret"],
      ["x-session-token", "secret"],
      ["cookie", "sid=secret"],
    ],
    ...changes,
  };
}

function collect(stream: ClientReadableStream<TapEvent>): {
  events: TapEvent[];
  end: Promise<ServiceError | undefined>;
} {
  const events: TapEvent[] = [];
  stream.on("data", (event: TapEvent) => events.push(event));
  const end = new Promise<ServiceError | undefined>((resolve) => {
    stream.on("error", resolve);
    stream.on("end", () => resolve(undefined));
  });
  return { events, end };
}

const http = (event: TapEvent | undefined) => event?.event?.value.event;

describe("tap", () => {
  it("streams a request's three events to its one allowed client, and ends after the limit", () =>
    world(async (watchers, client) => {
      assert.equal(watchers.active, false);
      const { events, end } = collect(client(CONTROLLER_IDENTITY).observe({ ...everything, limit: 2 }));
      await until("a watcher", () => watchers.active);
      const first = watchers.open(request());
      const second = watchers.open(request({ method: "BREW", direction: "outbound" }));
      assert.equal(watchers.open(request()), undefined, "the limit is reached");
      first?.response(200, () => []);
      first?.end({ responseBytes: 1_234 });
      second?.end({ responseBytes: 0, reset: 8 });
      assert.equal(await end, undefined);
      assert.equal(watchers.active, false);
      assert.equal(events.length, 5);
      const [init] = events;
      assert.equal(init?.proxyDirection, 1);
      assert.deepEqual(init.destinationMeta?.labels, { tls: "true", pod: "web-1" });
      assert.deepEqual(init.sourceMeta?.labels, { client_id: "planner.shop" });
      assert.deepEqual(init.routeMeta?.labels, { route_name: "default" });
      const initEvent = http(init);
      assert.ok(initEvent?.$case === "requestInit");
      assert.equal(initEvent.value.path, "/a?b=c");
      assert.equal(initEvent.value.headers, undefined, "headers only where asked for");
      assert.deepEqual(initEvent.value.method?.type, { $case: "registered", value: 0 });
      const responded = http(events[2]);
      assert.ok(responded?.$case === "responseInit");
      assert.equal(responded.value.httpStatus, 200);
      assert.deepEqual(responded.value.id, initEvent.value.id);
      const ended = http(events[3]);
      assert.ok(ended?.$case === "responseEnd");
      assert.equal(ended.value.responseBytes, 1_234n);
      const broken = http(events[4]);
      assert.ok(broken?.$case === "responseEnd");
      assert.deepEqual(broken.value.eos?.end, { $case: "resetErrorCode", value: 8 });
    }));

  it("never lets the value of a sensitive header out", () =>
    world(async (watchers, client) => {
      const { events } = collect(client(CONTROLLER_IDENTITY).observe({ ...everything, extract: withHeaders }));
      await until("a watcher", () => watchers.active);
      const exchange = watchers.open(request());
      exchange?.response(200, () => [
        ["set-cookie", "sid=secret"],
        ["content-type", "text/plain"],
      ]);
      exchange?.end({ responseBytes: 0 });
      await until("all events", () => events.length === 3);
      const headersOf = (index: number): [string, string][] => {
        const event = http(events[index]);
        assert.ok(event?.$case === "requestInit" || event?.$case === "responseInit");
        return (event.value.headers?.headers ?? []).map(({ name, value }) => [name, value.toString()]);
      };
      assert.deepEqual(headersOf(0), [
        ["host", "web.shop"],
        ["authorization", "[redacted]"],
        ["x-api-key", "[redacted]"],
        ["x-session-token", "[redacted]"],
        ["cookie", "[redacted]"],
      ]);
      assert.deepEqual(headersOf(1), [
        ["set-cookie", "[redacted]"],
        ["content-type", "text/plain"],
      ]);
    }));

  it("tells how a call of gRPC ended, and its trailers where headers are asked for", () =>
    world(async (watchers, client) => {
      const { events } = collect(client(CONTROLLER_IDENTITY).observe({ ...everything, extract: withHeaders }));
      const bare = collect(client(CONTROLLER_IDENTITY).observe(everything));
      await until("a watcher", () => watchers.active);
      await until("both watchers", () => {
        const exchange = watchers.open(request());
        exchange?.response(200, () => []);
        exchange?.end({
          responseBytes: 5,
          grpcStatus: 13,
          trailers: [
            ["grpc-status", "13"],
            ["x-session-token", "secret"],
          ],
        });
        return events.length >= 3 && bare.events.length >= 3;
      });
      const last = http(events[2]);
      assert.ok(last?.$case === "responseEnd");
      assert.deepEqual(last.value.eos?.end, { $case: "grpcStatusCode", value: 13 });
      const trailers = last.value.trailers?.headers.map(({ name, value }) => [name, value.toString()]);
      assert.deepEqual(trailers, [
        ["grpc-status", "13"],
        ["x-session-token", "[redacted]"],
      ]);
      const other = http(bare.events[2]);
      assert.ok(other?.$case === "responseEnd");
      assert.deepEqual(other.value.eos?.end, { $case: "grpcStatusCode", value: 13 });
      assert.equal(other.value.trailers, undefined);
    }));

  it("refuses others with Unauthenticated: another identity, another authority's certificate", () =>
    world(async (watchers, client) => {
      for (const tap of [client("web.shop"), client(CONTROLLER_IDENTITY, createTestAuthority("stranger"))]) {
        assert.equal((await collect(tap.observe(everything)).end)?.code, status.UNAUTHENTICATED);
      }
      assert.equal(watchers.active, false);
    }));

  it("refuses a limit of 0 and a match that says nothing", () =>
    world(async (_watchers, client) => {
      const tap = client(CONTROLLER_IDENTITY);
      for (const wrong of [
        { ...everything, limit: 0 },
        { ...everything, match: { match: undefined } },
      ]) {
        assert.equal((await collect(tap.observe(wrong)).end)?.code, status.INVALID_ARGUMENT);
      }
    }));

  it("stops when its client goes, and survives those who speak no TLS", () =>
    world(async (watchers, client, port) => {
      const socket = dial(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\n\r\n"));
      const closed = new Promise((resolve) => socket.on("close", resolve));
      socket.on("error", () => undefined);
      socket.resume();
      await closed;
      const stream = client(CONTROLLER_IDENTITY).observe(everything);
      stream.on("error", () => undefined);
      await until("a watcher", () => watchers.active);
      const exchange = watchers.open(request());
      stream.cancel();
      await until("nobody watching", () => !watchers.active);
      exchange?.response(200, () => []);
      exchange?.end({ responseBytes: 0 });
    }));
});
