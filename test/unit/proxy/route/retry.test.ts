/** Budgets, conditions, back-off, ServiceProfiles (reference 5.2, 9.4). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DestinationProfile } from "../../../../runtime/api/gen/io/linkerd/proxy/destination.ts";
import { RetryBudget } from "../../../../runtime/proxy/route/budget.ts";
import { compileProfile, routesByProfile } from "../../../../runtime/proxy/route/profile.ts";
import { grpcRetry, httpRetry, retryPolicy } from "../../../../runtime/proxy/route/retry.ts";
import { RouteTable } from "../../../../runtime/proxy/route/table.ts";
import { request } from "./support.ts";

describe("a retry budget", () => {
  it("allows its free retries, then a share of the requests, and forgets both", () => {
    let now = 0;
    const budget = new RetryBudget({ ratio: 0.5, minPerSecond: 1, ttlMs: 2_000 }, () => now);
    assert.deepEqual([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false]);
    for (let count = 0; count < 4; count++) budget.deposit();
    assert.deepEqual([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false]);
    now += 2_100;
    assert.deepEqual([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false]);
  });
});

describe("retry policies of routes", () => {
  const backoff = {
    minBackoff: { seconds: 0n, nanos: 25_000_000 },
    maxBackoff: { seconds: 0n, nanos: 250_000_000 },
    jitterRatio: 1,
    respectRetryAfterHint: false,
  };
  const limits = { maxRetries: 2, maxRequestBytes: 1_000_000, timeout: undefined, backoff };

  it("keep at most 64 KiB and double their back-off up to its most", () => {
    const policy = httpRetry({ ...limits, conditions: { statusRanges: [{ start: 500, end: 504 }] } });
    assert.equal(policy.maxRequestBytes, 65_536);
    assert.deepEqual(
      [499, 500, 504, 505].map((status) => policy.retriesOn(status, undefined)),
      [false, true, true, false],
    );
    const plain = { maxRetries: 1, maxBytes: 1, perTryMs: undefined };
    const calm = retryPolicy({ retriesOn: () => true, grpc: false }, plain, backoff, () => 0);
    assert.deepEqual(
      [1, 2, 4, 5, 9].map((attempt) => calm.backoffMs(attempt)),
      [25, 50, 200, 250, 250],
    );
    const wild = retryPolicy({ retriesOn: () => true, grpc: false }, plain, backoff, () => 0.5);
    assert.equal(wild.backoffMs(1), 37.5);
  });

  it("of gRPC go by its status", () => {
    const conditions = {
      cancelled: false,
      deadineExceeded: true,
      resourceExhausted: false,
      internal: false,
      unavailable: true,
    };
    const policy = grpcRetry({ ...limits, conditions });
    assert.deepEqual(
      [undefined, 0, 4, 8, 14].map((code) => policy.retriesOn(200, code)),
      [false, false, true, false, true],
    );
  });
});

describe("a ServiceProfile", () => {
  const profile: DestinationProfile = {
    fullyQualifiedName: "web.shop.svc.cluster.local",
    opaqueProtocol: false,
    routes: [
      {
        condition: {
          match: {
            $case: "all",
            value: {
              matches: [
                { match: { $case: "path", value: { regex: "/books/[^/]*" } } },
                { match: { $case: "method", value: { type: { $case: "registered", value: 0 } } } },
              ],
            },
          },
        },
        responseClasses: [
          { condition: { match: { $case: "status", value: { min: 404, max: 404 } } }, isFailure: true },
        ],
        metricsLabels: { route: "GET /books/{id}" },
        isRetryable: true,
        timeout: { seconds: 1n, nanos: 500_000_000 },
      },
    ],
    retryBudget: undefined,
    dstOverrides: [],
    endpoint: undefined,
    parentRef: undefined,
    profileRef: undefined,
  };
  const found = new RouteTable(
    compileProfile(profile, "web.shop.svc.cluster.local:80", [{ backend: "web", weight: 1 }]),
  );
  const ruleOf = (...args: Parameters<typeof request>) => found.find(request(...args))?.choices[0]?.rule;

  it("decides where it has routes or overrides", () => {
    assert.ok(routesByProfile(profile));
    assert.ok(!routesByProfile({ ...profile, routes: [] }));
  });

  it("names, times and classifies by its first route that matches the whole path", () => {
    const rule = ruleOf("http://web/books/1");
    assert.deepEqual(rule?.labels, [
      ["dst", "web.shop.svc.cluster.local:80"],
      ["rt_route", "GET /books/{id}"],
    ]);
    assert.deepEqual(rule.timeouts, { requestMs: 1_500, closes: true });
    assert.deepEqual(
      [404, 500, 200].map((status) => rule.isFailure?.(status, undefined)),
      [true, true, false],
    );
    assert.ok(rule.retry?.retriesOn(404, undefined));
    assert.deepEqual(rule.request?.set, [["l5d-dst-canonical", "web.shop.svc.cluster.local:80"]]);
  });

  it("leaves the rest without a name", () => {
    for (const rule of [ruleOf("http://web/books/1/pages"), ruleOf("http://web/books/1", { method: "POST" })]) {
      assert.deepEqual(rule?.labels, [["dst", "web.shop.svc.cluster.local:80"]]);
      assert.equal(rule.retry, undefined);
    }
  });
});
