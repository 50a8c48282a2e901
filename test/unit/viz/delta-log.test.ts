import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { DeltaLog } from "../../../runtime/controller/viz/history/delta-log.ts";

function sums(log: DeltaLog, start: number): { span: unknown; amounts: Map<number, number> } {
  const amounts = new Map<number, number>();
  const span = log.read(start, (code, amount) => amounts.set(code, (amounts.get(code) ?? 0) + amount));
  return { span, amounts };
}

describe("the log of a pod's changes", () => {
  it("adds up the spans that lie in the window for the most part", () => {
    const log = new DeltaLog();
    log.append(0, 10_000, new Map([[1, 5]]));
    log.append(10_000, 20_000, new Map([[1, 7]]));
    log.append(20_000, 30_000, new Map([[2, 1]]));
    assert.deepEqual(sums(log, 10_000), {
      span: { from: 10_000, to: 30_000 },
      amounts: new Map([
        [1, 7],
        [2, 1],
      ]),
    });
    // 40 % of the second span lie before the start: it still counts, and the coverage says so.
    assert.deepEqual(sums(log, 14_000).span, { from: 10_000, to: 30_000 });
    assert.deepEqual(sums(log, 16_000).span, { from: 20_000, to: 30_000 });
    // Better a longer span than none, as long as it ends in the window.
    assert.deepEqual(sums(log, 26_000).span, { from: 20_000, to: 30_000 });
    assert.equal(sums(log, 30_000).span, undefined);
  });

  it("keeps amounts beyond 32 bits", () => {
    const log = new DeltaLog();
    const much = 2 ** 45 + 12_345;
    log.append(0, 1_000, new Map([[130, much]]));
    assert.equal(sums(log, 0).amounts.get(130), much);
  });

  it("loses nothing of the last hour by joining spans, and stays small", () => {
    const log = new DeltaLog();
    let total = 0;
    // An hour and a half of scrapes every two seconds.
    for (let second = 0; second < 5_400; second += 2) {
      total++;
      log.append(second * 1000, (second + 2) * 1000, new Map([[3, 1]]));
    }
    const end = 5_400_000;
    const hour = sums(log, end - 3_600_000);
    const span = hour.span as { from: number; to: number };
    assert.equal(span.to, end);
    assert.ok(Math.abs(end - 3_600_000 - span.from) <= 60_000, `from ${span.from}`);
    // One a scrape: what the window says must agree with what it says it covers.
    assert.equal(hour.amounts.get(3), (span.to - span.from) / 2_000);
    assert.equal(total, 2_700);
    // 60 spans a minute long and what is finer; not 1,800.
    assert.ok(log.spans < 230, `${log.spans} spans`);
    assert.ok(log.bytes < 4_096, `${log.bytes} bytes`);
    // A short window is as fine as the scrapes were.
    assert.equal(sums(log, end - 10_000).amounts.get(3), 5);
  });

  it("does not bridge the time in which nothing was scraped", () => {
    const log = new DeltaLog();
    for (let index = 0; index < 30; index++) log.append(index * 2_000, (index + 1) * 2_000, new Map([[0, 1]]));
    for (let index = 0; index < 60; index++) {
      log.append(1_000_000 + index * 2_000, 1_002_000 + index * 2_000, new Map([[0, 1]]));
    }
    assert.deepEqual(sums(log, 990_000), { span: { from: 1_000_000, to: 1_120_000 }, amounts: new Map([[0, 60]]) });
  });

  it("always says how much it counted, whatever was appended", () => {
    const delta = fc.dictionary(fc.nat({ max: 2_000 }).map(String), fc.integer({ min: 1, max: 2 ** 40 }), {
      maxKeys: 5,
    });
    fc.assert(
      fc.property(
        fc.array(fc.record({ ms: fc.integer({ min: 500, max: 70_000 }), delta }), { maxLength: 120 }),
        (scrapes) => {
          const log = new DeltaLog();
          let now = 0;
          for (const { ms, delta: changed } of scrapes) {
            const deltas = new Map(Object.entries(changed).map(([code, amount]) => [Number(code), amount]));
            log.append(now, now + ms, deltas);
            now += ms;
          }
          const { span, amounts } = sums(log, Math.max(0, now - 3_600_000));
          if (scrapes.length === 0) return assert.equal(span, undefined);
          // Whatever was joined: what is counted is what was appended within the span that is reported.
          const { from, to } = span as { from: number; to: number };
          const expected = new Map<number, number>();
          let at = 0;
          for (const { ms, delta: changed } of scrapes) {
            if (at >= from && at + ms <= to) {
              for (const [code, amount] of Object.entries(changed)) {
                expected.set(Number(code), (expected.get(Number(code)) ?? 0) + amount);
              }
            }
            at += ms;
          }
          assert.deepEqual(new Map([...amounts].sort()), new Map([...expected].sort()));
          return undefined;
        },
      ),
      { numRuns: 100 },
    );
  });
});
