import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LoadCounts, Outcomes } from "../../bench/soak/counts.ts";
import type { ProxySample } from "../../bench/soak/sample.ts";
import { checksOf, growthOf, type SoakSample } from "../../bench/soak/verdict.ts";

const SECONDS = 3_600;
const RATES = { http1: 1_000, http2: 1_000, tcp: 5 };
const proxy: ProxySample = {
  anonymousKiB: 40_000,
  privateKiB: 41_000,
  rssKiB: 90_000,
  fds: 100,
  cpuMs: 0,
  series: 500,
  requests: 0,
  failures: 0,
  connections: 60,
};
const outcomes = (done: number, failed = 0): Outcomes => ({ done, cancelled: 0, failed });

interface Course {
  /** Of the outbound proxy, by the share of the time that is over. */
  readonly proxy?: (share: number) => Partial<ProxySample>;
  readonly failed?: number;
  readonly perSecond?: number;
  readonly fdsLeft?: number;
}

function failing({ proxy: course = () => ({}), failed = 0, perSecond = 1_000, fdsLeft = 40 }: Course): string[] {
  const samples: SoakSample[] = Array.from({ length: SECONDS / 15 }, (_, index) => {
    const at = (index + 1) * 15;
    const load: LoadCounts = {
      http1: outcomes(perSecond * at, failed),
      http2: outcomes(perSecond * at),
      tcp: outcomes(at),
      connections: at,
      skipped: 0,
      problems: [],
    };
    return { at, load, proxies: { outbound: { ...proxy, ...course(at / SECONDS) }, inbound: proxy } };
  });
  const before = { outbound: { ...proxy, fds: 40 }, inbound: proxy };
  const after = { outbound: { ...proxy, fds: fdsLeft }, inbound: proxy };
  return checksOf(samples, SECONDS, RATES, { before, after })
    .filter(({ passed }) => !passed)
    .map(({ what }) => what);
}

describe("when a soak is flat", () => {
  test("figures that come and go around one level are", () => {
    assert.deepEqual(
      failing({
        proxy: (share) => ({ anonymousKiB: 40_000 + 6_000 * Math.sin(300 * share), fds: 100 + ((share * 997) % 20) }),
      }),
      [],
    );
  });

  test("what warms up in the first ten minutes does not count", () => {
    assert.deepEqual(failing({ proxy: (share) => ({ anonymousKiB: 40_000 * Math.min(1, 0.5 + share * 3) }) }), []);
  });

  test("a leak of a byte a request is none", () => {
    // 7.2 million requests, 7 MiB.
    assert.deepEqual(failing({ proxy: (share) => ({ anonymousKiB: 40_000 + 7_031 * share }) }), [
      "outbound: anonymousKiB is flat",
    ]);
  });

  test("series that are added, descriptors that stay, failures and a load that was too small are named", () => {
    assert.deepEqual(failing({ proxy: (share) => ({ series: 500 + Math.floor(12 * share) }) }), [
      "outbound: series is flat",
    ]);
    assert.deepEqual(failing({ proxy: (share) => ({ fds: 100 + 20 * share }) }), ["outbound: fds is flat"]);
    assert.deepEqual(failing({ fdsLeft: 45 }), ["outbound: no file descriptor is left when the load is over"]);
    assert.deepEqual(failing({ failed: 1 }), ["nothing failed that the load did not give up"]);
    assert.deepEqual(failing({ perSecond: 940 }), ["the load was what it should be"]);
  });

  test("the slope is told an hour", () => {
    const samples = Array.from({ length: 240 }, (_, index): SoakSample => {
      const at = (index + 1) * 15;
      const load = {
        http1: outcomes(0),
        http2: outcomes(0),
        tcp: outcomes(0),
        connections: 0,
        skipped: 0,
        problems: [],
      };
      return { at, load, proxies: { outbound: { ...proxy, rssKiB: at }, inbound: proxy } };
    });
    assert.equal(Math.round(growthOf(samples, SECONDS, "outbound", "rssKiB").anHour), 3_600);
  });
});
