import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  LATENCY_BOUNDS_MS,
  LATENCY_BUCKETS,
  latencyBucket,
  latencyQuantile,
} from "../../../runtime/prometheus/latency-histogram.ts";
import { LATENCY_BOUNDS_MS as PROXY_BOUNDS_MS } from "../../../runtime/proxy/metrics/histogram.ts";

function counts(of: Readonly<Record<string, number>>): number[] {
  const all = Array<number>(LATENCY_BUCKETS).fill(0);
  for (const [le, count] of Object.entries(of)) all[latencyBucket(le) ?? -1] = count;
  return all;
}

describe("latency histograms", () => {
  it("have the bounds that the proxy writes", () => {
    assert.deepEqual(LATENCY_BOUNDS_MS, PROXY_BOUNDS_MS);
  });

  it("find a bucket by its label, however the number is written", () => {
    assert.equal(latencyBucket("1"), 0);
    assert.equal(latencyBucket("1.0"), 0);
    assert.equal(latencyBucket("50000"), 24);
    assert.equal(latencyBucket("+Inf"), 25);
    assert.equal(latencyBucket("7"), undefined);
  });

  it("interpolate within the bucket, as histogram_quantile does", () => {
    // 100 samples between 5 and 10 ms: the median is in the middle.
    assert.equal(latencyQuantile(0.5, counts({ 10: 100 })), 7.5);
    assert.equal(latencyQuantile(0.99, counts({ 10: 100 })), 9.95);
    // The first bucket begins at 0.
    assert.equal(latencyQuantile(0.5, counts({ 1: 10 })), 0.5);
    // Worked by hand: rank 95 of 100 lies 5 of 10 into (100, 200].
    assert.equal(latencyQuantile(0.95, counts({ 10: 90, 200: 10 })), 150);
    assert.equal(latencyQuantile(0.9, counts({ 10: 90, 200: 10 })), 10);
  });

  it("give the last bound for what lies above it, and nothing for nothing", () => {
    assert.equal(latencyQuantile(0.5, counts({ "+Inf": 3 })), 50_000);
    assert.equal(latencyQuantile(0.5, counts({})), undefined);
  });
});
