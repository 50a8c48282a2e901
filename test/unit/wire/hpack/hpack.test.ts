/** What both coders must refuse or keep to, and that they agree whatever they are given. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HpackDecoder } from "../../../../runtime/wire/hpack/decoder.ts";
import { HpackEncoder } from "../../../../runtime/wire/hpack/encoder.ts";
import { HpackError } from "../../../../runtime/wire/hpack/error.ts";
import { HeaderField, INDEXED, LITERAL, NEVER_INDEXED } from "../../../../runtime/wire/hpack/field.ts";
import { decodeHuffman, encodeHuffman, huffmanLength } from "../../../../runtime/wire/hpack/huffman.ts";
import { internField } from "../../../../runtime/wire/hpack/intern.ts";

function decode(hex: string, decoder = new HpackDecoder(65_536)): HeaderField[] {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const fields: HeaderField[] = [];
  decoder.decode(bytes, 0, bytes.length, fields);
  return fields;
}

const latin1 = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const anyField = fc
  .record({
    name: fc.oneof(fc.constantFrom(":path", "cookie", "x-a", "x-b", ":status"), latin1(12)),
    value: fc.oneof(fc.constantFrom("", "200", "/", "gzip, deflate"), latin1(300)),
    indexing: fc.constantFrom(INDEXED, LITERAL, NEVER_INDEXED),
  })
  .map(({ name, value, indexing }) =>
    indexing === INDEXED ? internField(name, value) : new HeaderField(name, value, indexing),
  );

describe("header blocks", () => {
  test("come out as they went in, whatever is in them and however the table's limit changes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ fields: fc.array(anyField, { maxLength: 12 }), limit: fc.option(fc.nat(6_000)) }), {
          maxLength: 12,
        }),
        fc.boolean(),
        (blocks, huffman) => {
          const encoder = new HpackEncoder({ huffman, maxTableBytes: 8_192 });
          const decoder = new HpackDecoder(Number.POSITIVE_INFINITY);
          decoder.setLimit(8_192);
          const out: HeaderField[] = [];
          for (const { fields, limit } of blocks) {
            if (limit !== null) {
              encoder.setLimit(limit);
              decoder.setLimit(limit);
            }
            const bytes = Buffer.alloc(HpackEncoder.bound(fields));
            const end = encoder.encode(fields, bytes, 0);
            assert.ok(end <= bytes.length);
            assert.equal(decoder.decode(bytes, 0, end, out), true);
            assert.deepEqual(
              out.map(({ name, value }) => [name, value]),
              fields.map(({ name, value }) => [name, value]),
            );
            for (const [index, { indexing }] of fields.entries()) {
              assert.equal(out[index]?.indexing === NEVER_INDEXED, indexing === NEVER_INDEXED);
            }
            assert.equal(decoder.tableBytes, encoder.tableBytes);
          }
        },
      ),
    );
  });

  test("any octets decode or are an HpackError, and nothing is read beyond their end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        const decoder = new HpackDecoder(65_536);
        const bytes = Buffer.concat([noise, Buffer.alloc(8, 0x82)]);
        try {
          decoder.decode(bytes, 0, noise.length, []);
        } catch (error) {
          assert.ok(error instanceof HpackError);
        }
        assert.ok(decoder.tableBytes <= 4_096);
      }),
      { numRuns: 2_000 },
    );
  });

  test("an entry decoded on one connection is found by identity in the table of another", () => {
    const [first] = decode("400178 0179");
    const [second] = decode("400178 0179");
    assert.equal(first, second);
    const encoder = new HpackEncoder();
    const out = Buffer.alloc(64);
    encoder.encode([first!], out, 0);
    assert.equal(encoder.encode([second!], out, 0), 1);
    assert.equal(out[0], 0x80 | 62);
  });

  test("fields over the limit are dropped, but the table has them", () => {
    const decoder = new HpackDecoder(80);
    const fields: HeaderField[] = [];
    const block = Buffer.from("82400178017940017a017a", "hex");
    assert.equal(decoder.decode(block, 0, block.length, fields), false);
    assert.deepEqual(
      fields.map(({ name }) => name),
      [":method", "x"],
    );
    assert.equal(decoder.tableCount, 2);
  });

  test("a bomb of references costs no memory", () => {
    const decoder = new HpackDecoder(16_384);
    const value = "v".repeat(4_000);
    const out = Buffer.alloc(8_192);
    const end = new HpackEncoder().encode([internField("x", value)], out, 0);
    decoder.decode(out, 0, end, []);
    const bomb = Buffer.alloc(16_384, 0x80 | 62);
    const fields: HeaderField[] = [];
    assert.equal(decoder.decode(bomb, 0, bomb.length, fields), false);
    assert.equal(fields.length, 4);
    assert.equal(fields[0], fields[3]);
  });

  for (const [name, hex] of [
    ["index 0 (6.1)", "80"],
    ["an index beyond both tables (2.3.3)", "be"],
    ["a name index beyond both tables", "7e0161"],
    ["an integer that never ends (5.1)", "ffffffffffffff"],
    ["an integer of 2^35 (5.1)", "ff8080808001"],
    ["an integer cut off", "ff80"],
    ["a string cut off", "4003 61"],
    ["a missing value", "4001 61"],
    ["a table size update after a field (4.2)", "82 20"],
    ["a table size update beyond the limit (6.3)", "3fe21f"],
    ["Huffman padding of zeros (5.2)", "00 81 00 0161"],
    ["Huffman padding of eight bits (5.2)", "00 82 1fff 0161"],
    ["EOS in a string (5.2)", "00 84 ffffffff 0161"],
  ] as const) {
    test(`${name} is an error`, () => {
      assert.throws(() => decode(hex), HpackError);
    });
  }

  test("a table must shrink where the limit fell (4.2)", () => {
    const decoder = new HpackDecoder(65_536);
    decode("400178 0179", decoder);
    decoder.setLimit(30);
    assert.throws(() => decode("82", decoder), /no table size update/);
    const other = new HpackDecoder(65_536);
    decode("400178 0179", other);
    other.setLimit(30);
    assert.equal(decode("3e 82", other).length, 1);
    assert.equal(other.tableCount, 0);
  });

  test("an encoder tells of the least and of the last limit between two blocks (4.2)", () => {
    const encoder = new HpackEncoder();
    const out = Buffer.alloc(64);
    encoder.setLimit(0);
    encoder.setLimit(100);
    assert.equal(out.toString("hex", 0, encoder.encode([], out, 0)), "203f45");
    assert.equal(encoder.encode([], out, 0), 0);
  });
});

describe("Huffman coding", () => {
  test("any octets come back", () => {
    fc.assert(
      fc.property(latin1(400), (text) => {
        const length = huffmanLength(text);
        const out = Buffer.alloc(length);
        assert.equal(encodeHuffman(text, out, 0), length);
        assert.equal(decodeHuffman(out, 0, length), text);
      }),
    );
  });
});
