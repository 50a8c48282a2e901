import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IdleCollector } from "../../../runtime/proxy/idle-collector.ts";

describe("collecting while idle", () => {
  it("waits for idleness, collects, and again only after work and a rest", () => {
    let cpu = 130;
    let now = 0;
    let collections = 0;
    const collector = new IdleCollector({
      collect: () => {
        collections++;
        cpu += 30;
      },
      cpuMs: () => cpu,
      now: () => now,
    });
    const look = (work: number): boolean => {
      cpu += work;
      now += 5_000;
      return collector.look();
    };
    try {
      assert.equal(look(0), false, "the start itself is no idleness");
      assert.deepEqual([look(50), look(2), look(50), look(2), look(2)], [false, true, false, false, false]);
      assert.equal(collections, 1);
      for (let round = 0; round < 10; round++) assert.equal(look(9), false, "too little, or too early");
      for (let round = 0; round < 20; round++) look(9);
      assert.equal(collections, 2, "once a rest, however long the trickle");
      for (let round = 0; round < 100; round++) look(100);
      assert.equal(collections, 2, "never under load");
    } finally {
      collector.close();
    }
  });
});
