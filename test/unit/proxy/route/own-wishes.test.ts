/** What requests ask for of their own (reference 5.8), over what their route has. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NO_RULE, type RetryPolicy, type RouteRule } from "../../../../runtime/proxy/http/route-rule.ts";
import { ownWishes } from "../../../../runtime/proxy/route/own-wishes.ts";
import { grpcConditions, retryPolicy } from "../../../../runtime/proxy/route/retry.ts";
import { request } from "./support.ts";

function applied(headers: Record<string, string>, retry?: RetryPolicy): RouteRule {
  const own = ownWishes(request("http://web/", { headers }), true);
  assert.ok(own);
  return own.apply({ ...NO_RULE, retry });
}

const LIMITS = { maxRetries: 5, maxBytes: 1_000, perTryMs: 700 };
const byStatus = retryPolicy({ grpc: false, retriesOn: (status) => status === 500 }, LIMITS, undefined);
const byCode = retryPolicy(grpcConditions(new Set([14])), LIMITS, undefined);

describe("wishes of a request's own", () => {
  it("are nothing where they are not allowed, or where there are none", () => {
    assert.equal(ownWishes(request("http://web/", { headers: { "l5d-timeout": "1s" } }), false), undefined);
    assert.equal(ownWishes(request("http://web/"), true), undefined);
  });

  it("take the longer name of a time-out before the shorter, where it is one", () => {
    assert.equal(applied({ "l5d-request-timeout": "1s", "l5d-timeout": "2s" }).timeouts?.requestMs, 1_000);
    assert.equal(applied({ "l5d-request-timeout": "soon", "l5d-timeout": "2s" }).timeouts?.requestMs, 2_000);
    assert.equal(applied({ "l5d-request-timeout": "soon" }).timeouts?.requestMs, undefined);
  });

  it("make a retry policy where the route has none: once, and for what they name", () => {
    const { retry } = applied({ "l5d-retry-http": "gateway-error,429" });
    assert.deepEqual([retry?.maxRetries, retry?.maxRequestBytes, retry?.perTryMs], [1, 65_536, undefined]);
    assert.deepEqual(
      [429, 500, 503].map((status) => retry?.retriesOn(status, undefined)),
      [true, false, true],
    );
    assert.equal(retry?.grpc, false);
  });

  it("may ask for no more than a limit, or a time for each try", () => {
    const { retry } = applied({ "l5d-retry-limit": "3", "l5d-retry-timeout": "50ms" });
    assert.deepEqual([retry?.maxRetries, retry?.perTryMs], [3, 50]);
    assert.equal(retry?.retriesOn(503, undefined), false);
  });

  it("change of the route's policy what they name alone", () => {
    const { retry } = applied({ "l5d-retry-limit": "2" }, byStatus);
    assert.deepEqual([retry?.maxRetries, retry?.perTryMs, retry?.maxRequestBytes], [2, 700, 1_000]);
    assert.equal(retry?.retriesOn(500, undefined), true);
    const slower = applied({ "l5d-retry-timeout": "1s" }, byStatus).retry;
    assert.deepEqual([slower?.maxRetries, slower?.perTryMs], [5, 1_000]);
    const none = applied({ "l5d-timeout": "1s" }, byStatus).retry;
    assert.equal(none, byStatus);
    const wrong = applied({ "l5d-retry-limit": "-1" }, byStatus).retry;
    assert.equal(wrong?.maxRetries, 5);
  });

  it("of HTTP's statuses stand beside what a route of gRPC says of codes, and the other way round", () => {
    const calls = applied({ "l5d-retry-http": "503" }, byCode).retry;
    assert.deepEqual([calls?.grpc, calls?.retriesOn(200, 14), calls?.retriesOn(503, undefined)], [true, true, true]);
    const replaced = applied({ "l5d-retry-grpc": "internal" }, byCode).retry;
    assert.deepEqual([replaced?.retriesOn(200, 14), replaced?.retriesOn(200, 13)], [false, true]);
    const requests = applied({ "l5d-retry-grpc": "cancelled" }, byStatus).retry;
    assert.deepEqual(
      [requests?.grpc, requests?.retriesOn(500, undefined), requests?.retriesOn(200, 1)],
      [true, true, true],
    );
  });
});
