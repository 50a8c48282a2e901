/** Length-prefixed messages come out whole, however their bytes are cut. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { frameMessage, MessageError, MessageReader } from "../../../../runtime/wire/grpc/message-reader.ts";
import { statusOfTrailers } from "../../../../runtime/wire/grpc/status.ts";
import { internField } from "../../../../runtime/wire/hpack/intern.ts";

describe("messages", () => {
  test("any of them, cut anywhere", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }),
        fc.array(fc.nat(500), { maxLength: 30 }),
        fc.nat(4),
        (messages, cuts, missing) => {
          const all = Buffer.concat(messages.map((message) => frameMessage(Buffer.from(message))));
          const bytes = all.subarray(0, Math.max(0, all.length - missing));
          const edges = [0, ...new Set(cuts.filter((cut) => cut < bytes.length)), bytes.length].sort((a, b) => a - b);
          const reader = new MessageReader(50);
          const seen: Buffer[] = [];
          for (let index = 0; index + 1 < edges.length; index++) {
            const piece = Buffer.from(bytes.subarray(edges[index], edges[index + 1]));
            for (let at = 0; at < piece.length; ) {
              at = reader.take(piece, at, piece.length);
              if (reader.message !== undefined) seen.push(Buffer.from(reader.message));
            }
            piece.fill(0);
          }
          const whole = bytes.length === all.length;
          assert.equal(reader.partial && whole, false);
          if (whole)
            assert.deepEqual(
              seen,
              messages.map((message) => Buffer.from(message)),
            );
          else assert.ok(seen.length < messages.length);
        },
      ),
    );
  });

  test("compressed ones and ones beyond the limit are refused before their bytes come", () => {
    assert.throws(() => new MessageReader(10).take(Buffer.from([1, 0, 0, 0, 1]), 0, 5), MessageError);
    assert.throws(() => new MessageReader(10).take(Buffer.from([0, 0, 0, 0, 11]), 0, 5), /11 bytes, more than 10/);
  });
});

describe("trailers", () => {
  const status = (...pairs: [string, string][]) =>
    statusOfTrailers(pairs.map(([name, value]) => internField(name, value)));

  test("say the status, and a message whose percent-coding may be broken", () => {
    assert.deepEqual(status(["grpc-status", "5"], ["grpc-message", "100%25 gr%C3%B6%C3%9Fer %zz %4"]), {
      code: 5,
      message: "100% größer %zz %4",
    });
    assert.deepEqual(status(["grpc-status", "0"]), { code: 0, message: "" });
    assert.equal(status(["grpc-status", "x"])?.code, 2);
    assert.equal(status(["other", "0"]), undefined);
  });
});
