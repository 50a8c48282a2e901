import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TapByResourceRequest, TapEvent } from "../../../runtime/api/gen/viz_tap.ts";
import { observeMatch } from "../../../runtime/controller/tap/observe-match.ts";
import { ipText, noticeEvent, tapEvent } from "../../../runtime/controller/tap/tap-event.ts";
import { parseTapBody, parseTapPath } from "../../../runtime/controller/tap/tap-request.ts";
import { frame, TapSink } from "../../../runtime/controller/tap/tap-sink.ts";
import { parseLabelSelector } from "../../../runtime/controller/tap/tap-targets.ts";
import { viewPod } from "../../../runtime/controller/viz/pod-view.ts";
import { StatusError } from "../../../runtime/controller/viz/status.ts";
import { readFrames, tapRequest } from "../../../runtime/mesh/tap.ts";
import { TapRecords } from "../../../runtime/mesh/tap-records.ts";
import type { TapQuery } from "../../../runtime/mesh/types.ts";

const query: TapQuery = { namespace: "shop", kind: "deployments", name: "web", maxRps: 5 };
const path = (text: string): string[] => text.split("/").filter(Boolean);

describe("a tap's path and body", () => {
  it("are Linkerd's", () => {
    assert.deepEqual(parseTapPath(path("/watch/namespaces/shop/deployments/web/tap")), {
      namespace: "shop",
      resource: "deployments",
      name: "web",
    });
    assert.deepEqual(parseTapPath(path("/watch/namespaces/shop/tap")), {
      namespace: "shop",
      resource: "namespaces",
      name: "shop",
    });
    for (const bad of [
      "/namespaces/shop/tap",
      "/watch/namespaces/shop/cats/web/tap",
      "/watch/namespaces/shop/pods/x/y",
    ]) {
      assert.throws(() => parseTapPath(path(bad)), StatusError, bad);
    }
  });

  it("must agree, whatever kind is tapped", () => {
    const body = (of: TapQuery): Uint8Array => TapByResourceRequest.encode(tapRequest(of)).finish();
    const target = parseTapPath(path("/watch/namespaces/shop/deployments/web/tap"));
    assert.equal(parseTapBody(target, body(query)).maxRps, 5);
    // Linkerd's default.
    assert.equal(parseTapBody(target, body({ ...query, maxRps: 0 })).maxRps, 100);
    const whole: TapQuery = { ...query, kind: "namespaces", name: "shop" };
    parseTapBody(parseTapPath(path("/watch/namespaces/shop/tap")), body(whole));
    for (const other of [{ name: "api" }, { namespace: "bank" }, { kind: "pods" }] as const) {
      assert.throws(() => parseTapBody(target, body({ ...query, ...other })), /the body asks for/);
    }
    assert.throws(() => parseTapBody(target, Buffer.from("not a message at all")), /no linkerd2.tap/);
    assert.throws(() => parseTapBody(target, body({ ...query, maxRps: -1 })), /maxRps/);
  });
});

describe("a tap's match", () => {
  it("is told to proxies in their words", () => {
    const { match } = tapRequest({ ...query, method: "purge", pathPrefix: "/a", authority: "web" });
    const http = (value: object) => ({ match: { $case: "http", value: { match: value } } });
    assert.deepEqual(observeMatch(match), {
      match: {
        $case: "all",
        value: {
          matches: [
            http({ $case: "method", value: { type: { $case: "unregistered", value: "PURGE" } } }),
            http({ $case: "path", value: { match: { $case: "prefix", value: "/a" } } }),
            http({ $case: "authority", value: { match: { $case: "exact", value: "web" } } }),
          ],
        },
      },
    });
    assert.equal(observeMatch(undefined), undefined);
  });

  it("of destinations is by the labels of discovery", () => {
    const label = (key: string, value: string) => ({ match: { $case: "destinationLabel", value: { key, value } } });
    const resource = { type: "deployments", namespace: "shop", name: "api" };
    const match = { match: { $case: "destinations" as const, value: { resource, labelSelector: "" } } };
    assert.deepEqual(observeMatch(match), {
      match: { $case: "all", value: { matches: [label("namespace", "shop"), label("deployment", "api")] } },
    });
  });

  it("that nests without end is refused", () => {
    let match: TapByResourceRequest["match"] = {
      match: { $case: "http", value: { match: { $case: "path", value: "/" } } },
    };
    for (let depth = 0; depth < 40; depth++) match = { match: { $case: "not", value: match } };
    assert.throws(() => observeMatch(match), /nested/);
  });
});

describe("a tap event", () => {
  const pod = viewPod({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "db-0",
      namespace: "shop",
      ownerReferences: [{ apiVersion: "apps/v1", kind: "StatefulSet", name: "db", uid: "u", controller: true }],
    },
    spec: { serviceAccountName: "db", nodeName: "node1" },
  } as unknown as Parameters<typeof viewPod>[0]);

  it("names what is known of both ends; what the proxy said stands", () => {
    const event = tapEvent(
      {
        source: { ip: { ip: { $case: "ipv4", value: 0x0a000001 } }, port: 1 },
        sourceMeta: { labels: { tls: "true", client_id: "c" } },
        destination: { ip: { ip: { $case: "ipv4", value: 0x0a000002 } }, port: 2 },
        destinationMeta: { labels: { serviceaccount: "said" } },
        routeMeta: undefined,
        proxyDirection: 1,
        event: undefined,
      },
      (ip) => (ip === "10.0.0.2" ? pod : undefined),
      "server",
    );
    assert.deepEqual(event.sourceMeta?.labels, { tls: "true", client_id: "c" });
    assert.deepEqual(event.destinationMeta?.labels, {
      namespace: "shop",
      pod: "db-0",
      serviceaccount: "said",
      statefulset: "db",
      node: "node1",
      server_id: "server",
    });
  });

  it("writes addresses as Kubernetes does", () => {
    assert.equal(ipText({ ip: { $case: "ipv4", value: 0xc0a80001 } }), "192.168.0.1");
    const last = 1n;
    assert.equal(ipText({ ip: { $case: "ipv6", value: { first: 0xfd00n << 48n, last } } }), "fd00::1");
    assert.equal(ipText(undefined), "");
  });

  it("of a notice is no record to those who read requests", async () => {
    const records = new TapRecords();
    const bytes = frame(TapEvent.encode(noticeEvent("3 events were dropped")).finish());
    async function* body(): AsyncGenerator<Uint8Array> {
      // Split in the middle of the length.
      yield bytes.subarray(0, 2);
      yield bytes.subarray(2);
    }
    const read = [];
    for await (const message of readFrames(body())) read.push(TapEvent.decode(message));
    assert.equal(read[0]?.sourceMeta?.labels["weft.dev/notice"], "3 events were dropped");
    assert.equal(records.add(read[0] as TapEvent), undefined);
  });
});

describe("the stream to who taps", () => {
  it("begins no request while the reader is behind, but ends those it began", () => {
    const frames: Uint8Array[] = [];
    const writer = { pendingBytes: 0, write: (bytes: Uint8Array) => void frames.push(bytes) };
    const sink = new TapSink(writer);
    sink.notice("begin");
    assert.equal(frames.length, 1);
    writer.pendingBytes = 300 * 1024;
    assert.equal(sink.send(init()), false);
    assert.equal(sink.send(end()), true);
    assert.equal(sink.dropped, 1);
    // The end told of the drop first: two frames.
    assert.equal(frames.length, 3);
    writer.pendingBytes = 2 * 1024 * 1024;
    assert.equal(sink.send(end()), false);
    assert.equal(sink.dropped, 2);
  });

  function http(value: NonNullable<TapEvent["event"]>["value"]): TapEvent {
    return { ...noticeEvent(""), sourceMeta: undefined, event: { $case: "http", value } };
  }
  function init(): TapEvent {
    const value = { id: undefined, method: undefined, scheme: undefined, authority: "", path: "/", headers: undefined };
    return http({ event: { $case: "requestInit", value } });
  }
  function end(): TapEvent {
    const value = {
      id: undefined,
      sinceRequestInit: undefined,
      sinceResponseInit: undefined,
      responseBytes: 0n,
      eos: undefined,
      trailers: undefined,
    };
    return http({ event: { $case: "responseEnd", value } });
  }
});

describe("a label selector", () => {
  it("knows equality, inequality and presence", () => {
    const selects = parseLabelSelector("app=web, tier!=db,example.org/x,!old");
    assert.equal(selects({ app: "web", "example.org/x": "" }), true);
    assert.equal(selects({ app: "web", "example.org/x": "", old: "1" }), false);
    assert.equal(selects({ app: "web", tier: "db", "example.org/x": "" }), false);
    assert.equal(selects({ app: "api", "example.org/x": "" }), false);
    assert.equal(parseLabelSelector("")({}), true);
    assert.throws(() => parseLabelSelector("app in (a,b)"), /not supported/);
  });
});
