/** What is remembered of blocks and lists is what would be made of them anew, whatever became of the tables in between. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HpackDecoder } from "../../../../runtime/wire/hpack/decoder.ts";
import { HpackEncoder } from "../../../../runtime/wire/hpack/encoder.ts";
import { type HeaderField, literalField, secretField } from "../../../../runtime/wire/hpack/field.ts";
import { internField } from "../../../../runtime/wire/hpack/intern.ts";
import { BytesMemo, ListMemo } from "../../../../runtime/wire/hpack/memo.ts";

const fields = [
  internField(":method", "GET"),
  internField("x-one", "1"),
  internField("x-two", "2"),
  internField("x-large", "y".repeat(80)),
  literalField("date", "now"),
  literalField("date", "then"),
  secretField("cookie", "c"),
];
/** Few, so that the same come again. */
const list = fc.array(fc.constantFrom(...fields), { maxLength: 4 });
const step = fc.oneof({ weight: 6, arbitrary: list }, { weight: 1, arbitrary: fc.constantFrom(0, 60, 200, 4_096) });

describe("what is remembered of header blocks", () => {
  test("any lists, again and again, between changes of the table's size", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(65_536);
        const out = Buffer.alloc(4_096);
        const decoded: HeaderField[] = [];
        for (const what of steps) {
          if (typeof what === "number") {
            encoder.setLimit(what);
            decoder.setLimit(what);
            continue;
          }
          for (let time = 0; time < 3; time++) {
            const end = encoder.encode(what, out, 5);
            assert.ok(decoder.decode(out, 5, end, decoded));
            const pairs = (all: readonly HeaderField[]): string[] => all.map(({ name, value }) => `${name}=${value}`);
            assert.deepEqual(pairs(decoded), pairs(what));
          }
        }
      }),
    );
  });

  test("the same block is the same objects once it has come twice", () => {
    const decoder = new HpackDecoder(65_536);
    const out = Buffer.alloc(64);
    const end = new HpackEncoder().encode([literalField("date", "now")], out, 0);
    const decode = (): HeaderField | undefined => {
      const decoded: HeaderField[] = [];
      decoder.decode(out, 0, end, decoded);
      return decoded[0];
    };
    const first = decode();
    const second = decode();
    assert.notEqual(first, second);
    assert.equal(decode(), second);
  });

  test("a list's value is its own, and that of what else it depends on", () => {
    const memo = new ListMemo<string>(1);
    const keep = (key: readonly HeaderField[], salt: number, value: string): void => {
      if (memo.find(key, salt) === undefined && memo.worth) memo.put(key, value);
    };
    const [one, two] = [fields.slice(0, 2), fields.slice(1, 3)];
    for (let time = 0; time < 2; time++) keep(one, 1, "one, 1");
    assert.equal(memo.find(one, 1), "one, 1");
    assert.equal(memo.find(one, 2), undefined);
    assert.equal(memo.find(one, 2), undefined);
    assert.equal(memo.find(two, 1), undefined);
    assert.equal(memo.find([...one], 1), "one, 1");
  });

  test("bytes that differ anywhere are told apart, in one slot", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(99), (key, where) => {
        const memo = new BytesMemo<string>(1, 100);
        const bytes = Buffer.from(key);
        for (let time = 0; time < 2; time++) {
          if (memo.find(bytes, 0, bytes.length) === undefined && memo.worth) memo.put(bytes, 0, bytes.length, "kept");
        }
        assert.equal(memo.find(Buffer.from([1, ...bytes, 2]), 1, bytes.length + 1), "kept");
        const other = Buffer.from(bytes);
        const at = where % other.length;
        other[at] = (other[at] as number) ^ 1;
        assert.equal(memo.find(other, 0, other.length), undefined);
        assert.equal(memo.find(bytes, 0, bytes.length - 1), undefined);
      }),
    );
  });
});
