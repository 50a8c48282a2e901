/** RFC 7541, appendix C: both directions, octet for octet. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HpackDecoder } from "../../../../runtime/wire/hpack/decoder.ts";
import { HpackEncoder } from "../../../../runtime/wire/hpack/encoder.ts";
import { type HeaderField, NEVER_INDEXED, secretField } from "../../../../runtime/wire/hpack/field.ts";
import { internField } from "../../../../runtime/wire/hpack/intern.ts";

interface Step {
  readonly hex: string;
  readonly fields: readonly [name: string, value: string][];
  /** Size of the table afterwards. */
  readonly tableBytes: number;
}

const GET: [string, string][] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
];
const SECOND: [string, string][] = [...GET, ["cache-control", "no-cache"]];
const THIRD: [string, string][] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/index.html"],
  [":authority", "www.example.com"],
  ["custom-key", "custom-value"],
];
const FOUND: [string, string][] = [
  [":status", "302"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
  ["location", "https://www.example.com"],
];
const REDIRECT: [string, string][] = [[":status", "307"], ...FOUND.slice(1)];
const COOKIE: [string, string][] = [
  [":status", "200"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
  ["location", "https://www.example.com"],
  ["content-encoding", "gzip"],
  ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
];

const SEQUENCES: readonly { name: string; huffman: boolean; tableLimit: number; steps: readonly Step[] }[] = [
  {
    name: "C.3 requests without Huffman coding",
    huffman: false,
    tableLimit: 4_096,
    steps: [
      { hex: "828684410f7777772e6578616d706c652e636f6d", fields: GET, tableBytes: 57 },
      { hex: "828684be58086e6f2d6361636865", fields: SECOND, tableBytes: 110 },
      { hex: "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", fields: THIRD, tableBytes: 164 },
    ],
  },
  {
    name: "C.4 requests with Huffman coding",
    huffman: true,
    tableLimit: 4_096,
    steps: [
      { hex: "828684418cf1e3c2e5f23a6ba0ab90f4ff", fields: GET, tableBytes: 57 },
      { hex: "828684be5886a8eb10649cbf", fields: SECOND, tableBytes: 110 },
      { hex: "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", fields: THIRD, tableBytes: 164 },
    ],
  },
  {
    name: "C.5 responses without Huffman coding, with eviction",
    huffman: false,
    tableLimit: 256,
    steps: [
      {
        hex: "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        fields: FOUND,
        tableBytes: 222,
      },
      { hex: "4803333037c1c0bf", fields: REDIRECT, tableBytes: 222 },
      {
        hex: "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        fields: COOKIE,
        tableBytes: 215,
      },
    ],
  },
  {
    name: "C.6 responses with Huffman coding, with eviction",
    huffman: true,
    tableLimit: 256,
    steps: [
      {
        hex: "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        fields: FOUND,
        tableBytes: 222,
      },
      { hex: "4883640effc1c0bf", fields: REDIRECT, tableBytes: 222 },
      {
        hex: "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        fields: COOKIE,
        tableBytes: 215,
      },
    ],
  },
];

function pairs(fields: readonly HeaderField[]): [string, string][] {
  return fields.map(({ name, value }) => [name, value]);
}

describe("RFC 7541, appendix C", () => {
  for (const { name, huffman, tableLimit, steps } of SEQUENCES) {
    test(`${name}: decoded`, () => {
      const decoder = new HpackDecoder(65_536);
      const fields: HeaderField[] = [];
      // C.5 and C.6 begin with a table of 256 bytes: said by an update here.
      if (tableLimit !== 4_096) decoder.decode(Buffer.from("3fe101", "hex"), 0, 3, fields);
      for (const step of steps) {
        const bytes = Buffer.from(step.hex, "hex");
        assert.equal(decoder.decode(bytes, 0, bytes.length, fields), true);
        assert.deepEqual(pairs(fields), step.fields);
        assert.equal(decoder.tableBytes, step.tableBytes);
      }
    });

    test(`${name}: encoded`, () => {
      const encoder = new HpackEncoder({ huffman, maxTableBytes: tableLimit });
      const out = Buffer.alloc(1_024);
      if (tableLimit !== 4_096) assert.equal(out.toString("hex", 0, encoder.encode([], out, 0)), "3fe101");
      for (const step of steps) {
        const end = encoder.encode(
          step.fields.map(([field, value]) => internField(field, value)),
          out,
          0,
        );
        assert.equal(out.toString("hex", 0, end), step.hex);
        assert.equal(encoder.tableBytes, step.tableBytes);
      }
    });
  }

  test("C.2.1 to C.2.4: each representation, and a secret stays one", () => {
    const decoder = new HpackDecoder(65_536);
    const fields: HeaderField[] = [];
    const decode = (hex: string): HeaderField[] => {
      const bytes = Buffer.from(hex, "hex");
      decoder.decode(bytes, 0, bytes.length, fields);
      return fields;
    };
    assert.deepEqual(pairs(decode("400a637573746f6d2d6b65790d637573746f6d2d686561646572")), [
      ["custom-key", "custom-header"],
    ]);
    assert.equal(decoder.tableBytes, 55);
    assert.deepEqual(pairs(decode("040c2f73616d706c652f70617468")), [[":path", "/sample/path"]]);
    assert.equal(decoder.tableBytes, 55);
    const [secret] = decode("100870617373776f726406736563726574");
    assert.deepEqual([secret?.name, secret?.value], ["password", "secret"]);
    assert.equal(secret?.indexing, NEVER_INDEXED);
    assert.deepEqual(pairs(decode("82")), [[":method", "GET"]]);
    const out = Buffer.alloc(64);
    const end = new HpackEncoder().encode([secretField("password", "secret")], out, 0);
    assert.equal(out.toString("hex", 0, end), "100870617373776f726406736563726574");
  });
});
