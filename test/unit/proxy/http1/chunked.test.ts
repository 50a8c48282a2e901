/** Chunked bodies: where they end, however they are cut; what is no chunked body. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ChunkedBody } from "../../../../runtime/proxy/http1/chunked.ts";

/** Feeds `text` in pieces; @returns how many bytes it took as the body, and how it ended */
function feed(text: string, cuts: readonly number[]): { taken: number; done: boolean; malformed: boolean } {
  const body = new ChunkedBody();
  const edges = [0, ...new Set(cuts.filter((cut) => cut > 0 && cut < text.length)), text.length].sort((a, b) => a - b);
  let taken = 0;
  for (let index = 0; index + 1 < edges.length && !body.done && !body.malformed; index++) {
    const piece = Buffer.from(`##${text.slice(edges[index], edges[index + 1])}##`, "latin1");
    const end = piece.length - 2;
    taken += body.advance(piece, 2, end) - 2;
  }
  return { taken, done: body.done, malformed: body.malformed };
}

const chunk = fc.record({
  data: fc.string({ minLength: 1, maxLength: 40, unit: fc.constantFrom("a", "\r", "\n", "0", ";", "\u00ff") }),
  extension: fc.constantFrom("", ";x", ";x=y", " ;x", ';x="a;b"'),
  zeros: fc.nat(3),
});

describe("chunked bodies", () => {
  test("any body ends where it ends, however it is cut, and what follows is not touched", () => {
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 6 }),
        fc.constantFrom("", "trailer: x\r\n", "a: b\r\nc: d\r\n"),
        fc.constantFrom("", "GET / HTTP/1.1\r\n", "0\r\n\r\n"),
        fc.array(fc.nat(400), { maxLength: 20 }),
        (chunks, trailers, after, cuts) => {
          const coded = chunks.map(
            ({ data, extension, zeros }) =>
              `${"0".repeat(zeros)}${data.length.toString(16)}${extension}\r\n${data}\r\n`,
          );
          const text = `${coded.join("")}0\r\n${trailers}\r\n`;
          assert.deepEqual(feed(text + after, cuts), { taken: text.length, done: true, malformed: false });
        },
      ),
    );
  });

  test("capital digits and 2 GiB are sizes", () => {
    assert.deepEqual(feed("A\r\n0123456789\r\n0\r\n\r\n", []), { taken: 20, done: true, malformed: false });
    assert.deepEqual(feed("80000000\r\nxx", []), { taken: 12, done: false, malformed: false });
  });

  test("extensions are limited by the line, not by the body", () => {
    const text = `${`1;${"x".repeat(1_000)}\r\na\r\n`.repeat(100)}0\r\n\r\n`;
    assert.deepEqual(feed(text, [50_000]), { taken: text.length, done: true, malformed: false });
  });

  for (const text of [
    "\r\n",
    "g\r\n",
    "-1\r\n",
    "0x5\r\n",
    " 5\r\n",
    "5\n",
    "5\rX",
    "5;a\n",
    "1\r\nab\r\n",
    "1\r\na\n",
    "1\r\na\r0",
    "0\r\n\n",
    "0\r\n\rX",
    "0\r\na: b\n",
    "0\r\na: b\rX",
    "10000000000000\r\n",
    `1;${"x".repeat(70_000)}`,
    `0\r\n${"a: b\r\n".repeat(40_000)}`,
  ]) {
    const name = JSON.stringify(text.slice(0, 20));
    test(`${name} is refused, in one piece and byte by byte`, () => {
      assert.equal(feed(text, []).malformed, true);
      assert.equal(
        feed(
          text,
          Array.from({ length: text.length }, (_, index) => index),
        ).malformed,
        true,
      );
    });
  }
});
