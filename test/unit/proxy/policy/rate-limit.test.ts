import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpLocalRateLimit } from "../../../../runtime/api/gen/io/linkerd/proxy/inbound.ts";
import { compileRateLimit, type RateLimit } from "../../../../runtime/proxy/policy/rate-limit.ts";

function limit(parts: Partial<HttpLocalRateLimit>): RateLimit {
  const compiled = compileRateLimit({
    metadata: {
      kind: {
        $case: "resource",
        value: {
          group: "policy.linkerd.io",
          kind: "HTTPLocalRateLimitPolicy",
          name: "slow",
          namespace: "",
          section: "",
          port: 0,
        },
      },
    },
    total: undefined,
    identity: undefined,
    overrides: [],
    ...parts,
  });
  assert.ok(compiled);
  return compiled;
}

const rate = (requestsPerSecond: number) => ({ requestsPerSecond });
/** How many of `count` requests pass, spread evenly over `overMs`. */
function passes(of: RateLimit, identity: string | undefined, count: number, from: number, overMs = 0): number {
  let passed = 0;
  for (let index = 0; index < count; index++) {
    if (of.take(identity, from + (overMs * index) / count) === undefined) passed++;
  }
  return passed;
}

describe("a local rate limit", () => {
  it("lets a second's requests come at once, then as many a second as it says", () => {
    const of = limit({ total: rate(10) });
    assert.equal(passes(of, undefined, 50, 1_000), 10);
    assert.equal(passes(of, undefined, 50, 1_099), 0);
    assert.equal(passes(of, undefined, 50, 1_100), 1);
    const steady = passes(of, undefined, 1_000, 1_101, 10_000);
    assert.ok(steady >= 99 && steady <= 101, String(steady));
    assert.equal(passes(of, undefined, 50, 60_000), 10, "a bucket is never more than full");
  });

  it("of rates that no millisecond divides loses nothing", () => {
    for (const requestsPerSecond of [3, 7, 30, 333, 999, 12_345]) {
      assert.equal(
        passes(limit({ total: rate(requestsPerSecond) }), undefined, 2 * requestsPerSecond, 5),
        requestsPerSecond,
      );
    }
  });

  it("per identity is each one's own; clients without one share theirs", () => {
    const of = limit({ identity: rate(2) });
    assert.equal(passes(of, "a.shop", 5, 10), 2);
    assert.equal(passes(of, "b.shop", 5, 10), 2);
    assert.equal(passes(of, undefined, 5, 10), 2);
    assert.equal(passes(of, undefined, 5, 10), 0);
  });

  it("overrides the one per identity for those it names, who share it; the total holds for all", () => {
    const of = limit({
      total: rate(100),
      identity: rate(2),
      overrides: [{ limit: rate(6), clients: { identities: [{ name: "a.shop" }, { name: "b.shop" }] } }],
    });
    assert.equal(passes(of, "a.shop", 4, 10), 4);
    assert.equal(passes(of, "b.shop", 5, 10), 2);
    assert.equal(passes(of, "c.shop", 5, 10), 2);
    const tight = limit({
      total: rate(3),
      identity: rate(2),
      overrides: [{ limit: rate(3), clients: { identities: [{ name: "a" }] } }],
    });
    assert.equal(passes(tight, "a", 5, 10), 3);
    const excess = tight.take("b", 10);
    assert.deepEqual(excess?.labels, [
      ["ratelimit_group", "policy.linkerd.io"],
      ["ratelimit_kind", "HTTPLocalRateLimitPolicy"],
      ["ratelimit_name", "slow"],
      ["ratelimit_scope", "total"],
    ]);
    assert.equal(excess.requestsPerSecond, 3);
    const each = limit({ identity: rate(1) });
    each.take("a", 10);
    assert.deepEqual(each.take("a", 10)?.labels.at(-1), ["ratelimit_scope", "identity"]);
  });

  it("that names no limit is none", () => {
    assert.equal(compileRateLimit(undefined), undefined);
    assert.equal(
      compileRateLimit({ metadata: undefined, total: rate(0), identity: undefined, overrides: [] }),
      undefined,
    );
  });

  it("forgets clients whose bucket is full again, and only those", () => {
    const of = limit({ identity: rate(1) });
    for (let index = 0; index < 3_000; index++) of.take(`old-${index}`, 10);
    for (let index = 0; index < 3_000; index++) of.take(`new-${index}`, 2_000);
    assert.notEqual(of.take("new-1", 2_000), undefined, "not forgotten");
    assert.equal(of.take("old-1", 2_000), undefined);
  });
});
