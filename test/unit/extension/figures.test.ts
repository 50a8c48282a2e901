import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  formatBytes,
  formatMs,
  formatRate,
  formatShare,
  healthOf,
  httpText,
  mtlsText,
  mtlsWords,
  shortIdentity,
} from "../../../extension/views/figures.ts";

const http = (successRate: number, requests = 100) => ({
  requests,
  successes: Math.round(requests * successRate),
  successRate,
  requestsPerSecond: 12.34,
  latencyMs: { p50: 3.6, p95: 21, p99: 1234 },
});

describe("figures of a row", () => {
  it("say 100% only where nothing failed", () => {
    assert.equal(formatShare(1), "100%");
    assert.equal(formatShare(0.99999), "99.9%");
    assert.equal(formatShare(0.992), "99.2%");
    assert.equal(formatShare(0.95), "95%");
    assert.equal(formatShare(0), "0%");
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999999, noNaN: true }), (share) => {
        const text = formatShare(share);
        assert.match(text, /^\d{1,2}(\.\d)?%$/);
        assert.ok(Number.parseFloat(text) / 100 <= share + 1e-9);
      }),
    );
  });

  it("round rates so that they stay calm", () => {
    assert.deepEqual([0, 0.04, 8.123, 9.97, 12.4, 999.4, 1_234].map(formatRate), [
      "0",
      "<0.1",
      "8.1",
      "10",
      "12",
      "999",
      "1.2k",
    ]);
  });

  it("round latencies to what can be told apart", () => {
    assert.deepEqual([0.3, 4.4, 99.4, 456, 1_949, 12_345].map(formatMs), ["<1", "4", "99", "460", "1900", "12300"]);
  });

  it("give bytes a unit", () => {
    assert.deepEqual([0, 240, 999, 1_234, 56_789, 7.5e6, 3e12].map(formatBytes), [
      "0 B",
      "240 B",
      "999 B",
      "1.2 kB",
      "57 kB",
      "7.5 MB",
      "3000 GB",
    ]);
  });

  it("fit a side bar", () => {
    assert.equal(httpText(http(0.992)), "99.2% · 12/s · 4/21/1200ms");
  });

  it("judge health by Linkerd's thresholds", () => {
    assert.equal(healthOf(http(0.95)), "good");
    assert.equal(healthOf(http(0.949)), "warning");
    assert.equal(healthOf(http(0.9)), "warning");
    assert.equal(healthOf(http(0.899)), "poor");
    assert.equal(healthOf(http(1, 0)), "unknown");
    assert.equal(healthOf(undefined), "unknown");
  });

  it("never show partial mTLS as all or none", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1 - 1e-9, noNaN: true }), (share) => {
        const text = mtlsText({ state: "partial", share });
        assert.notEqual(text, "mTLS 100%");
        assert.notEqual(text, "mTLS 0%");
      }),
    );
    assert.equal(mtlsText({ state: "partial", share: 0.623 }), "mTLS 62.3%");
    assert.equal(mtlsText({ state: "all", share: 1 }), "");
    assert.equal(
      mtlsWords({ state: "unknown", reason: "no traffic in the window" }),
      "mutual TLS unknown, no traffic in the window",
    );
  });

  it("shorten identities to what differs in one mesh", () => {
    assert.equal(shortIdentity("web.shop.serviceaccount.identity.weft.cluster.local"), "web.shop");
    assert.equal(shortIdentity("something.else"), "something.else");
  });
});
