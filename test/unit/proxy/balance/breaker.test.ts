/** When a circuit opens, and for how long (reference 9.3); what an overloaded endpoint may ask for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type AccrualPolicy,
  Breaker,
  type Outcome,
  parsePushback,
  parseRetryAfter,
  retryHint,
} from "../../../../runtime/proxy/balance/breaker.ts";
import { PeakEwma } from "../../../../runtime/proxy/balance/peak-ewma.ts";

const POLICY: AccrualPolicy = {
  maxConsecutive: 2,
  backoff: { minMs: 1_000, maxMs: 4_000, jitter: 0 },
  honorsRetryAfter: false,
  minReady: 0,
};
const of = (status: number, more: Partial<Outcome> = {}): Outcome => ({
  status,
  grpcStatus: undefined,
  failure: status >= 500,
  retryAfterMs: undefined,
  ...more,
});

function broken(policy: Partial<AccrualPolicy>, ...outcomes: Outcome[]): Breaker {
  const breaker = new Breaker({ ...POLICY, ...policy }, () => true);
  for (const outcome of outcomes) breaker.outcome(outcome, 0);
  return breaker;
}

describe("circuit breakers", () => {
  it("open after so many failures in a row, twice as long each time, at most the longest pause, until a success", () => {
    const breaker = broken({}, of(500), of(200), of(500));
    assert.equal(breaker.openUntil, 0);
    breaker.outcome(of(503), 0);
    const pauses: number[] = [];
    for (let now = breaker.openUntil; pauses.length < 4; now = breaker.openUntil) {
      pauses.push(now);
      assert.equal(breaker.usable(now - 1), false);
      assert.equal(breaker.usable(now), true);
      breaker.picked();
      assert.equal(breaker.usable(now), false, "one request decides");
      breaker.outcome(of(500), now);
      breaker.released();
    }
    assert.deepEqual(pauses, [1_000, 3_000, 7_000, 11_000]);
    breaker.picked();
    breaker.outcome(of(200), breaker.openUntil);
    assert.equal(breaker.openUntil, 0);
  });

  it("never open for failures in a row where none of them are too many", () => {
    const many = Array.from({ length: 100 }, () => of(500));
    assert.equal(broken({ maxConsecutive: Number.POSITIVE_INFINITY }, ...many).openUntil, 0);
  });

  it("take 429 for no failure, unless the rate counts", () => {
    const limited = Array.from({ length: 10 }, () => of(429));
    assert.equal(broken({}, ...limited).openUntil, 0);
    const rate = { threshold: 0.5, windowMs: 10_000, minRequests: 10 };
    assert.equal(broken({ rate }, ...limited.slice(1)).openUntil, 0);
    assert.equal(broken({ rate }, ...limited).openUntil, 1_000);
    const between = [of(500), of(429), of(500), of(429), of(500)];
    assert.equal(broken({ rate: { ...rate, minRequests: 100 } }, ...between).openUntil, 0, "429 ends a row");
  });

  it("forget what is older than the window", () => {
    const rate = { threshold: 0.5, windowMs: 10_000, minRequests: 4 };
    const breaker = new Breaker({ ...POLICY, maxConsecutive: Number.POSITIVE_INFINITY, rate }, () => true);
    for (const at of [0, 100, 200]) breaker.outcome(of(500), at);
    breaker.outcome(of(500), 20_000);
    assert.equal(breaker.openUntil, 0);
    for (const at of [20_100, 20_200, 20_300]) breaker.outcome(of(500), at);
    assert.equal(breaker.openUntil, 21_300);
  });

  it("leave an overloaded endpoint alone for as long as it asks, where the policy says so, at most five minutes", () => {
    const asks = (ms: number): Outcome[] => [of(503), of(503, { retryAfterMs: ms })];
    assert.equal(broken({}, ...asks(9_000)).openUntil, 1_000);
    assert.equal(broken({ honorsRetryAfter: true }, ...asks(9_000)).openUntil, 9_000);
    assert.equal(broken({ honorsRetryAfter: true }, ...asks(10)).openUntil, 1_000);
    assert.equal(broken({ honorsRetryAfter: true }, ...asks(86_400_000)).openUntil, 300_000);
  });
});

describe("hints of when to come again", () => {
  it("are those of the overloaded alone", () => {
    const hint = (status: number, grpcStatus?: number) => retryHint(of(status, { grpcStatus, retryAfterMs: 7 }));
    assert.deepEqual([hint(429), hint(503), hint(200, 8), hint(200, 14)], [7, 7, 7, 7]);
    assert.deepEqual([hint(500), hint(200), hint(200, 13)], [undefined, undefined, undefined]);
  });

  it("are seconds or a date in HTTP, milliseconds in gRPC; what is none of these is none", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    assert.equal(parseRetryAfter("3", now), 3_000);
    assert.equal(parseRetryAfter("Thu, 01 Jan 2026 00:01:00 GMT", now), 60_000);
    assert.equal(parseRetryAfter("Thu, 01 Jan 2025 00:01:00 GMT", now), 0);
    assert.deepEqual([parseRetryAfter("soon", now), parseRetryAfter(undefined, now)], [undefined, undefined]);
    assert.deepEqual([parsePushback("1500"), parsePushback("0")], [1_500, 0]);
    assert.deepEqual([parsePushback("-1"), parsePushback("1s"), parsePushback("")], [undefined, undefined, undefined]);
  });
});

describe("penalties", () => {
  it("count as so long an answer, and make no endpoint look better than it did", () => {
    const ewma = new PeakEwma(30, 10_000, 0);
    ewma.penalize(5_000, 0);
    assert.equal(ewma.load(0), 5_000);
    const slower = new PeakEwma(30, 10_000, 0);
    slower.observe(60_000, 0);
    const before = slower.load(1_000);
    slower.penalize(5_000, 1_000);
    assert.ok(slower.load(1_000) >= before);
  });
});
