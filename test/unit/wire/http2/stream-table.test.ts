/** The table of open streams, beside a Map. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Http2Stream, UNHANDLED } from "../../../../runtime/wire/http2/stream.ts";
import { StreamTable } from "../../../../runtime/wire/http2/stream-table.ts";

const carrier = {
  sendHeaders: () => undefined,
  sendData: () => 0,
  resetStream: () => undefined,
  creditStream: () => undefined,
};

test("streams come and go in any order: those that are open are found, no others", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(120), fc.boolean()), { maxLength: 400 }), fc.nat(5), (steps, spread) => {
      const table = new StreamTable();
      const model = new Map<number, Http2Stream>();
      for (const [number, opens] of steps) {
        // Those that share a slot, whatever the table's size, among others.
        const id = (number % 7 === 0 ? number * 2 ** (spread + 4) : number) * 2 + 1;
        if (opens && !model.has(id)) {
          const stream = new Http2Stream(id, UNHANDLED, carrier, 1, 1);
          table.add(stream);
          model.set(id, stream);
        } else if (!opens) {
          table.delete(id);
          model.delete(id);
        }
        assert.equal(table.get(id), model.get(id));
      }
      assert.equal(table.size, model.size);
      assert.deepEqual(
        table.all().map(({ id }) => id),
        [...model.keys()].sort((one, other) => one - other),
      );
      for (const [id, stream] of model) assert.equal(table.get(id), stream);
      table.clear();
      assert.equal(table.all().length, 0);
    }),
    { numRuns: 300 },
  );
});
