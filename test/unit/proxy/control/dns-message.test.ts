import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Answer, decode, encode, type Packet } from "dns-packet";
import fc from "fast-check";
import { encodeQuery, readAnswer, recordType } from "../../../../runtime/proxy/control/dns-message.ts";

const NAME = "weft-policy.weft.svc.cluster.local";

function query(type: keyof typeof recordType = "srv"): Buffer {
  const bytes = encodeQuery(77, NAME, recordType[type]);
  assert.ok(bytes !== undefined);
  return bytes;
}

function answer(type: "A" | "AAAA" | "SRV", answers: Answer[], more: Partial<Packet> = {}): Buffer {
  return encode({ type: "response", id: 77, flags: 0x180, questions: [{ type, name: NAME }], answers, ...more });
}

describe("a DNS question", () => {
  it("is what another implementation reads", () => {
    const { id, type, flag_rd, questions, additionals } = decode(query("aaaa"));
    assert.deepEqual([id, type, flag_rd], [77, "query", true]);
    assert.deepEqual(questions, [{ type: "AAAA", class: "IN", name: NAME }]);
    assert.equal(additionals?.[0]?.type, "OPT");
  });

  it("is none about what is no name", () => {
    for (const name of ["", "a..b", ".a", "a".repeat(64), Array(64).fill("abcd").join(".")]) {
      assert.equal(encodeQuery(1, name, recordType.a), undefined, name);
    }
    assert.ok(encodeQuery(1, "a".repeat(63), recordType.a));
  });
});

describe("a DNS answer", () => {
  it("gives addresses, and the least life of what leads to them", () => {
    const bytes = answer("A", [
      { type: "CNAME", name: NAME, ttl: 7, data: "other.local" },
      { type: "A", name: "other.local", ttl: 30, data: "10.1.2.3" },
      { type: "A", name: "other.local", ttl: 20, data: "10.1.2.4" },
    ]);
    assert.deepEqual(readAnswer(bytes, query("a")), {
      code: 0,
      truncated: false,
      ttlSeconds: 7,
      records: [
        { kind: "address", ip: "10.1.2.3" },
        { kind: "address", ip: "10.1.2.4" },
      ],
    });
    const six = answer("AAAA", [{ type: "AAAA", name: NAME, ttl: 5, data: "fd00::1:2" }]);
    assert.deepEqual(readAnswer(six, query("aaaa"))?.records, [{ kind: "address", ip: "fd00:0:0:0:0:0:1:2" }]);
  });

  it("gives services, their names compressed or not", () => {
    const data = { target: `10-1-2-3.${NAME}`, port: 8086, priority: 0, weight: 10 };
    const plain = answer("SRV", [{ type: "SRV", name: NAME, ttl: 5, data }]);
    const records = [{ kind: "service", target: data.target, port: 8086 }];
    assert.deepEqual(readAnswer(plain, query())?.records, records);
    // The target's last labels, and the record's name, point at the question's.
    const head = Buffer.from([0, 77, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    const question = query().subarray(12, 12 + NAME.length + 2 + 4);
    const target = Buffer.from([8, ...Buffer.from("10-1-2-3"), 0xc0, 12]);
    const record = Buffer.from([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 5, 0, 6 + target.length, 0, 0, 0, 10, 0x1f, 0x96]);
    const compressed = Buffer.concat([head, question, record, target]);
    assert.deepEqual(readAnswer(compressed, query())?.records, records);
  });

  it("tells of names that do not exist, and of answers that were cut", () => {
    assert.equal(readAnswer(answer("SRV", [], { flags: 0x183 }), query())?.code, 3);
    assert.equal(readAnswer(answer("SRV", [], { flags: 0x380 }), query())?.truncated, true);
  });

  it("is none where it is for another question", () => {
    const records: Answer[] = [{ type: "A", name: NAME, ttl: 5, data: "10.1.2.3" }];
    assert.equal(readAnswer(answer("A", records, { id: 78 }), query("a")), undefined);
    assert.equal(readAnswer(answer("A", records), query("srv")), undefined);
    assert.equal(readAnswer(answer("A", records, { type: "query" }), query("a")), undefined);
    const elsewhere: Partial<Packet> = { questions: [{ type: "A", name: "elsewhere.local" }] };
    assert.equal(readAnswer(answer("A", records, elsewhere), query("a")), undefined);
  });

  it("ends in time and without error, whatever the bytes are", () => {
    const good = answer("SRV", [
      { type: "SRV", name: NAME, ttl: 5, data: { target: `10-1-2-3.${NAME}`, port: 1, priority: 0, weight: 0 } },
    ]);
    const asked = query();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.nat(good.length),
        (changes, cut) => {
          const bytes = Buffer.from(good.subarray(0, cut));
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          readAnswer(bytes, asked);
        },
      ),
      { numRuns: 3_000 },
    );
    const circle = Buffer.concat([Buffer.from([0, 77, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]), Buffer.from([0xc0, 12])]);
    assert.equal(readAnswer(circle, asked), undefined);
  });
});
