import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Tally } from "../../../runtime/controller/viz/figures/tally.ts";
import type { PodWindow, SeriesWindow } from "../../../runtime/controller/viz/history/pod-history.ts";
import { HTTP_VALUES, type SeriesKey, TCP_VALUES } from "../../../runtime/controller/viz/history/series-key.ts";

const HTTP: SeriesKey = {
  protocol: "http",
  direction: "inbound",
  port: "8080",
  tls: true,
  identity: "a",
  noTlsReason: "",
  destination: undefined,
};
const TCP: SeriesKey = { ...HTTP, protocol: "tcp" };

function http(requests: number, key: Partial<SeriesKey> = {}): SeriesWindow {
  const amounts = new Float64Array(32);
  amounts[HTTP_VALUES.success] = requests;
  amounts[HTTP_VALUES.firstBucket] = requests;
  return { key: { ...HTTP, ...key }, amounts, open: 0 };
}

function tcp(opened: number, open: number, read: number, key: Partial<SeriesKey> = {}): SeriesWindow {
  const amounts = new Float64Array(32);
  amounts[TCP_VALUES.opened] = opened;
  amounts[TCP_VALUES.read] = read;
  return { key: { ...TCP, ...key }, amounts, open };
}

/** Seconds. */
function pod(from: number, to: number, life: readonly [number, number] = [0, Number.POSITIVE_INFINITY]): PodWindow {
  return { span: { from: from * 1000, to: to * 1000 }, life: { from: life[0] * 1000, to: life[1] * 1000 }, series: [] };
}

function tallyOf(parts: readonly (readonly [PodWindow, SeriesWindow])[]): Tally {
  const tally = new Tally();
  for (const [window, series] of parts) {
    tally.cover(window);
    tally.add(window, series);
  }
  return tally;
}

describe("rates", () => {
  it("are over the time that scrapes cover", () => {
    assert.equal(tallyOf([[pod(100, 160), http(600)]]).http()?.requestsPerSecond, 10);
  });

  it("do not sink because pods are scraped at different times", () => {
    // Ten a second each, seen over staggered spans.
    const tally = tallyOf([
      [pod(100, 150), http(500)],
      [pod(150, 200), http(500)],
    ]);
    assert.equal(tally.http()?.requests, 1000);
    assert.equal(tally.http()?.requestsPerSecond, 20);
  });

  it("do not double while one pod takes the place of another", () => {
    const tally = tallyOf([
      [pod(100, 150, [0, 150]), http(500)],
      [pod(150, 160, [150, Number.POSITIVE_INFINITY]), http(100)],
    ]);
    assert.equal(tally.http()?.requestsPerSecond, 10);
  });
});

describe("mTLS", () => {
  it("is the share of requests where there are any", () => {
    const window = pod(0, 60);
    const tally = tallyOf([
      [window, http(999)],
      [window, http(1, { tls: false })],
      [window, tcp(50, 50, 9, { tls: false })],
    ]);
    assert.deepEqual(tally.mtls(""), { state: "partial", share: 0.999 });
  });

  it("is of connections where there are no requests; long ones count though none was opened", () => {
    const window = pod(0, 60);
    assert.deepEqual(tallyOf([[window, tcp(0, 3, 0)]]).mtls(""), { state: "all", share: 1 });
    const mixed = tallyOf([
      [window, tcp(0, 3, 0)],
      [window, tcp(1, 0, 20, { tls: false })],
    ]);
    assert.deepEqual(mixed.mtls(""), { state: "partial", share: 0.75 });
  });

  it("does not see connections without TLS on which the client never said a word", () => {
    const window = pod(0, 60);
    const tally = tallyOf([
      [window, tcp(1, 1, 500)],
      [window, tcp(30, 0, 0, { tls: false })],
    ]);
    assert.deepEqual(tally.mtls(""), { state: "all", share: 1 });
    assert.equal(tally.tcp()?.connections, 1);
  });

  it("is unknown without traffic, for the reason given", () => {
    assert.deepEqual(new Tally().mtls("no scrape yet"), { state: "unknown", reason: "no scrape yet" });
  });
});
