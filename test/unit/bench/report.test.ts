/** The arithmetic of the benchmark's report: what a wrong sum would hide. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { besideLines } from "../../bench/beside.ts";
import { budgets } from "../../bench/budgets.ts";
import type { Variant } from "../../bench/cells.ts";
import type { Report } from "../../bench/figures.ts";
import { markdown } from "../../bench/report.ts";
import type { Row } from "../../bench/rows.ts";
import { median, percentile, pool, ratio, rounded } from "../../bench/statistics.ts";

function row(variant: Variant, cpuMicrosPerRequest: number): Row {
  return {
    protocol: "http1",
    topology: "mtls",
    load: "saturation",
    variant,
    cpuMicrosPerRequest,
    cpuMillisPerMegabyte: null,
    addedP50Micros: null,
    addedP99Micros: null,
    addedP999Micros: null,
    perSecond: 1_000,
    runs: 2,
  };
}

function report(rows: readonly Row[]): Report {
  return {
    rows,
    startup: [],
    connections: [
      { variant: "weft", perSecond: 200, perCpuSecond: 400, runs: 2 },
      { variant: "nginx", perSecond: 500, perCpuSecond: 1_000, runs: 2 },
    ],
    turns: null,
    memory: [],
    bundleBytes: 100 * 1024,
    date: "2026-01-01T00:00:00Z",
    command: "npm run bench",
    seconds: 1,
    machine: { processor: "p", cores: 2, kernel: "k", node: "v24", nginx: "1", haproxy: "2" },
    hint: "h2",
  };
}

const told = (rows: readonly Row[], what: string): string =>
  markdown(report(rows))
    .split("\n")
    .find((line) => line.startsWith(`| ${what} `)) ?? "";

describe("the benchmark's report", () => {
  test("a median is of the middle, whatever the order", () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([10, 1, 2, 9]), 5.5);
    assert.ok(Number.isNaN(median([])));
  });

  test("percentiles are of all samples pooled, not of percentiles", () => {
    const all = pool([Float64Array.of(3, 1, 2), Float64Array.of(100)]);
    assert.deepEqual([...all], [1, 2, 3, 100]);
    assert.equal(percentile(all, 0.5), 2);
    assert.equal(percentile(all, 0.75), 3);
    assert.equal(percentile(all, 0.99), 100);
    assert.equal(percentile(all, 0), 1);
    assert.ok(Number.isNaN(percentile(pool([]), 0.5)));
  });

  test("what is not known has no ratio, and JSON gets null for it", () => {
    assert.equal(ratio(3, 2), 1.5);
    assert.equal(ratio(null, 2), null);
    assert.equal(ratio(1, 0), null);
    assert.equal(rounded(Number.NaN), null);
    assert.equal(rounded(1.2345), 1.23);
  });

  test("a budget is met at its limit and missed above it; one that says at least, the other way round", () => {
    assert.match(
      told([row("weft", 8), row("nginx", 10)], "CPU, HTTP/1.1, two proxies, mTLS"),
      /\| ≤ 0.8 × nginx \| 0.80 × nginx \| met \|/,
    );
    assert.match(told([row("weft", 9), row("nginx", 10)], "CPU, HTTP/1.1, two proxies, mTLS"), /\| \*\*missed\*\* \|/);
    assert.match(
      told([], "new mTLS connections a second of CPU"),
      /\| ≥ 0.5 × nginx \| 0.40 × nginx \| \*\*missed\*\* \|/,
    );
  });

  test("what was not measured is said to be so, and is neither met nor missed", () => {
    assert.match(told([row("weft", 8)], "CPU, HTTP/1.1, two proxies, mTLS"), /\| not measured \| {2}\|/);
    const measured = budgets(report([])).filter((budget) => budget.measured !== null);
    assert.deepEqual(
      measured.map(({ what }) => what),
      ["new mTLS connections a second of CPU", "bundle, packed"],
    );
  });

  test("what was measured beside the repository is told with its own budgets", () => {
    const rows = [row("weft", 40), { ...row("nginx", 60), variant: "linkerd" }, row("nginx", 50)];
    const beside = { peer: "linkerd2-proxy 1", date: "2026-01-01", how: "By hand.", rows };
    assert.deepEqual(besideLines(beside), [
      { what: "HTTP/1.1", weft: 40, peer: 60, ratio: 40 / 60, limit: 0.41, unit: "µs" },
    ]);
    const text = markdown(report([]), beside);
    assert.match(text, /## Once, beside linkerd2-proxy 1\n\n2026-01-01\. By hand\./);
    assert.match(
      text,
      /\| HTTP\/1\.1, two proxies, mTLS \| 40\.0 µs \| 60\.0 µs \| 0\.67 \| ≤ 0\.41 \| \*\*missed\*\* \|/,
    );
  });
});
