import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { TapRow } from "../../../extension/panels/tap-messages.ts";
import { TapBuffer, tapCommandLine } from "../../../extension/panels/tap-rows.ts";
import type { TapRecord } from "../../../runtime/mesh/types.ts";
import { parseFilter } from "../../../webviews/tap/filter.ts";
import { isFailure, RowStore } from "../../../webviews/tap/row-store.ts";

const row = (seq: number, change: Partial<TapRow> = {}): TapRow => ({
  seq,
  time: 0,
  source: "load",
  destination: "gateway",
  method: "GET",
  path: "/api/cart?item=1",
  status: 200,
  latencyMs: 12,
  tls: "true",
  ...change,
});

describe("the tap panel's filter", () => {
  const passes = (text: string, change: Partial<TapRow> = {}) => parseFilter(text)(row(1, change));

  it("matches words in any column, all of them", () => {
    assert.ok(passes(""));
    assert.ok(passes("cart"));
    assert.ok(passes("CART get"));
    assert.ok(!passes("cart post"));
    assert.ok(!passes("-cart"));
    assert.ok(passes("-checkout"));
  });

  it("matches fields", () => {
    assert.ok(passes("status:2xx") && passes("status:200") && !passes("status:5xx"));
    assert.ok(passes("status:5xx", { status: 503 }) && passes("-status:5xx"));
    assert.ok(passes("method:get path:/api from:load to:gate"));
    assert.ok(passes("tls:yes") && passes("tls:no", { tls: "no_tls_from_remote" }));
    assert.ok(passes("latency>10") && !passes("latency>12") && passes("latency<12.5"));
  });

  it("a word that only looks like a field is a word", () => {
    assert.ok(passes("http://x", { path: "http://x/y" }));
    assert.ok(passes("status:"));
  });

  it("takes any text without an error", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(typeof passes(text), "boolean");
      }),
    );
  });
});

describe("the tap panel's rows", () => {
  it("are the newest so many, whatever the batches", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 30 }), { maxLength: 20 }), (batches) => {
        const store = new RowStore(25);
        let seq = 0;
        for (const size of batches) store.add(Array.from({ length: size }, () => row(++seq)));
        const expected = Array.from({ length: Math.min(25, seq) }, (_, index) => Math.max(0, seq - 25) + index + 1);
        assert.deepEqual(
          store.shown.map((each) => each.seq),
          expected,
        );
      }),
    );
  });

  it("filtered ones go when they are pushed out, and the list knows how far it moved", () => {
    const store = new RowStore(4);
    store.filter("status:5xx");
    store.add([row(1, { status: 500 }), row(2), row(3, { status: 500 }), row(4)]);
    assert.deepEqual([store.shown.length, store.takeDropped()], [2, 0]);
    store.add([row(5), row(6)]);
    assert.deepEqual([store.shown.map(({ seq }) => seq), store.takeDropped()], [[3], 1]);
    assert.equal(store.takeDropped(), 0);
  });

  it("a pause holds the list still while rows are collected", () => {
    const store = new RowStore(10);
    store.add([row(1)]);
    store.pause(true);
    store.add([row(2), row(3)]);
    assert.deepEqual([store.shown.length, store.held, store.size], [1, 2, 3]);
    store.pause(false);
    assert.deepEqual([store.shown.length, store.held], [3, 0]);
  });

  it("clear forgets all of them", () => {
    const store = new RowStore(10);
    store.add([row(1)]);
    store.clear();
    assert.deepEqual([store.shown.length, store.size], [0, 0]);
  });

  it("a failure is a server's error, a gRPC status, or an exchange that broke off", () => {
    assert.deepEqual(
      [{}, { status: 404 }, { status: 500 }, { grpcStatus: 13 }, { grpcStatus: 0 }].map((change) =>
        isFailure(row(1, change)),
      ),
      [false, false, true, true, false],
    );
    const { status: _, ...broken } = row(1);
    assert.ok(isFailure(broken));
  });
});

describe("a tap's host", () => {
  const record: TapRecord = {
    id: "1",
    time: "2026-01-01T00:00:00.000Z",
    direction: "inbound",
    source: {
      address: "10.0.0.1:1",
      pod: "load-5f-x",
      workload: "load",
      identity: "load.shop.serviceaccount.identity.weft.cluster.local",
    },
    destination: { address: "10.0.0.2:8080" },
    method: "GET",
    scheme: "http",
    authority: "web",
    path: "/",
    tls: "true",
    requestHeaders: [["x", "y"]],
  };

  it("sends rows without headers and keeps the records, the newest so many", () => {
    const buffer = new TapBuffer(2);
    const rows = [record, record, record].map((each) => buffer.add(each));
    assert.deepEqual(
      rows.map(({ seq }) => seq),
      [1, 2, 3],
    );
    assert.equal(buffer.get(1), undefined);
    assert.deepEqual(buffer.get(3)?.requestHeaders, [["x", "y"]]);
    assert.equal(rows[0]?.source, "load");
    assert.equal(rows[0]?.destination, "10.0.0.2:8080");
    assert.ok(!("requestHeaders" in (rows[0] ?? {})));
  });

  it("names the same tap for the terminal", () => {
    assert.equal(
      tapCommandLine({ kind: "deployments", namespace: "shop", name: "web", maxRps: 100 }),
      "weft tap deploy/web -n shop --max-rps 100",
    );
    assert.equal(
      tapCommandLine({ kind: "namespaces", namespace: "shop", name: "shop", maxRps: 5 }),
      "weft tap ns/shop --max-rps 5",
    );
  });
});
