/** Frames are the same however their bytes are cut; what is no frame is refused with the code its section names. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FrameParser } from "../../../../runtime/wire/http2/frame-parser.ts";
import { errorCode, flag, frameType, Http2Error, PREFACE } from "../../../../runtime/wire/http2/protocol.ts";
import { FrameLog, frame, number32, SETTINGS } from "./support.ts";

interface Outcome {
  readonly lines: readonly string[];
  readonly code: number | undefined;
}

function parse(bytes: Buffer, cuts: readonly number[], preface = false): Outcome {
  const log = new FrameLog();
  const parser = new FrameParser(log, { maxHeaderBlockBytes: 4_096, preface });
  const edges = [0, ...new Set(cuts.filter((cut) => cut < bytes.length)), bytes.length].sort((a, b) => a - b);
  try {
    for (let index = 0; index + 1 < edges.length; index++) {
      // A buffer of its own with other bytes around: nothing beyond the range may be looked at.
      const piece = Buffer.concat([
        Buffer.from("##"),
        bytes.subarray(edges[index], edges[index + 1]),
        Buffer.from("##"),
      ]);
      parser.feed(piece, 2, piece.length - 2);
      piece.fill(35);
    }
  } catch (error) {
    assert.ok(error instanceof Http2Error);
    return { lines: log.lines, code: error.code };
  }
  return { lines: log.lines, code: undefined };
}

const payload = fc.uint8Array({ maxLength: 60 });
const padded = (bytes: Uint8Array, padding: number): Buffer =>
  Buffer.concat([Buffer.from([padding]), bytes, Buffer.alloc(padding)]);
const goodFrame = fc.oneof(
  fc.tuple(payload, fc.nat(1)).map(([bytes, end]) => frame(frameType.data, end, 1, bytes)),
  fc.tuple(payload, fc.nat(9)).map(([bytes, pad]) => frame(frameType.data, flag.padded, 3, padded(bytes, pad))),
  fc.tuple(payload, fc.nat(1)).map(([bytes, end]) => frame(frameType.headers, flag.endHeaders | end, 5, bytes)),
  fc
    .tuple(payload, fc.nat(9))
    .map(([bytes, pad]) =>
      frame(
        frameType.headers,
        flag.endHeaders | flag.padded | flag.priority,
        5,
        Buffer.concat([Buffer.from([pad]), number32(1), Buffer.from([16]), bytes, Buffer.alloc(pad)]),
      ),
    ),
  fc
    .tuple(payload, payload, payload)
    .map(([a, b, c]) =>
      Buffer.concat([
        frame(frameType.headers, 0, 7, a),
        frame(frameType.continuation, 0, 7, b),
        frame(frameType.continuation, flag.endHeaders, 7, c),
      ]),
    ),
  fc.constant(frame(frameType.resetStream, 0, 5, number32(8))),
  fc.constant(frame(frameType.settings, flag.ack, 0)),
  fc.constant(frame(frameType.settings, 0, 0, Buffer.from("000300000064", "hex"))),
  fc.constant(frame(frameType.ping, 0, 0, Buffer.from("weftweft"))),
  fc.constant(frame(frameType.goAway, 0, 0, Buffer.concat([number32(7, 2), Buffer.from("bye")]))),
  fc.constant(frame(frameType.windowUpdate, 0, 0, number32(1_000))),
  fc.constant(frame(frameType.priority, 0, 9, Buffer.concat([number32(1), Buffer.from([1])]))),
  payload.map((bytes) => frame(0x77, 255, 11, bytes)),
);

describe("frames", () => {
  test("any of them, however they are cut", () => {
    fc.assert(
      fc.property(fc.array(goodFrame, { maxLength: 12 }), fc.array(fc.nat(800), { maxLength: 30 }), (frames, cuts) => {
        const bytes = Buffer.concat([PREFACE, SETTINGS, ...frames]);
        const whole = parse(bytes, [], true);
        assert.equal(whole.code, undefined);
        assert.deepEqual(parse(bytes, cuts, true), whole);
        assert.deepEqual(parse(bytes, [...bytes.keys()], true), whole);
      }),
    );
  });

  test("any octets give the same frames and the same error, however they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            goodFrame,
            fc.uint8Array({ maxLength: 30 }).map((noise) => Buffer.from(noise)),
          ),
          {
            maxLength: 6,
          },
        ),
        fc.array(fc.nat(400), { maxLength: 20 }),
        (parts, cuts) => {
          const bytes = Buffer.concat([SETTINGS, ...parts]);
          assert.deepEqual(parse(bytes, cuts), parse(bytes, []));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("padding is not passed on, but counted", () => {
    const { lines } = parse(Buffer.concat([SETTINGS, frame(0, flag.padded | 1, 1, padded(Buffer.from("ab"), 3))]), []);
    assert.deepEqual(lines.slice(1), ["data frame 1 6", "data 1 6162 true"]);
  });

  test("nothing is told after stop, though it comes from within a call", () => {
    const log = new FrameLog();
    const parser = new FrameParser(log, { maxHeaderBlockBytes: 100, preface: false });
    log.onSettingsAck = () => parser.stop();
    const bytes = Buffer.concat([SETTINGS, frame(4, flag.ack, 0), frame(6, 0, 0, Buffer.alloc(8))]);
    parser.feed(bytes, 0, bytes.length);
    parser.feed(bytes, 0, bytes.length);
    assert.deepEqual(log.lines, ["settings "]);
  });

  const p = errorCode.protocolError;
  const size = errorCode.frameSizeError;
  for (const [name, code, ...frames] of [
    ["something else before SETTINGS (3.4)", p, frame(frameType.ping, 0, 0, Buffer.alloc(8))],
    ["an acknowledgement before SETTINGS (3.4)", p, frame(frameType.settings, flag.ack, 0)],
    ["a frame larger than allowed (4.2)", size, SETTINGS, frame(frameType.data, 0, 1, Buffer.alloc(16_385))],
    ["DATA on stream 0 (6.1)", p, SETTINGS, frame(frameType.data, 0, 0)],
    ["padding longer than DATA (6.1)", p, SETTINGS, frame(frameType.data, flag.padded, 1, Buffer.from([2, 0]))],
    ["padded DATA without a length (6.1)", size, SETTINGS, frame(frameType.data, flag.padded, 1)],
    ["HEADERS on stream 0 (6.2)", p, SETTINGS, frame(frameType.headers, flag.endHeaders, 0)],
    ["padding longer than HEADERS (6.2)", p, SETTINGS, frame(frameType.headers, 12, 1, Buffer.from([2, 0]))],
    ["HEADERS too short for a priority (6.2)", size, SETTINGS, frame(frameType.headers, 36, 1, Buffer.alloc(4))],
    ["PRIORITY on stream 0 (6.3)", p, SETTINGS, frame(frameType.priority, 0, 0, Buffer.alloc(5))],
    ["RST_STREAM on stream 0 (6.4)", p, SETTINGS, frame(frameType.resetStream, 0, 0, number32(0))],
    ["RST_STREAM of five bytes (6.4)", size, SETTINGS, frame(frameType.resetStream, 0, 1, Buffer.alloc(5))],
    ["SETTINGS on a stream (6.5)", p, SETTINGS, frame(frameType.settings, 0, 1)],
    ["SETTINGS of five bytes (6.5)", size, SETTINGS, frame(frameType.settings, 0, 0, Buffer.alloc(5))],
    ["an acknowledgement with settings (6.5)", size, SETTINGS, frame(frameType.settings, 1, 0, Buffer.alloc(6))],
    ["PUSH_PROMISE (8.4)", p, SETTINGS, frame(frameType.pushPromise, flag.endHeaders, 1, number32(2))],
    ["PING on a stream (6.7)", p, SETTINGS, frame(frameType.ping, 0, 1, Buffer.alloc(8))],
    ["PING of six bytes (6.7)", size, SETTINGS, frame(frameType.ping, 0, 0, Buffer.alloc(6))],
    ["GOAWAY on a stream (6.8)", p, SETTINGS, frame(frameType.goAway, 0, 1, Buffer.alloc(8))],
    ["GOAWAY of seven bytes (6.8)", size, SETTINGS, frame(frameType.goAway, 0, 0, Buffer.alloc(7))],
    ["WINDOW_UPDATE of three bytes (6.9)", size, SETTINGS, frame(frameType.windowUpdate, 0, 0, Buffer.alloc(3))],
    ["CONTINUATION without HEADERS (6.10)", p, SETTINGS, frame(frameType.continuation, 4, 1)],
    ["DATA inside a header block (6.10)", p, SETTINGS, frame(frameType.headers, 0, 1), frame(frameType.data, 0, 1)],
    ["an unknown frame inside a header block (5.5)", p, SETTINGS, frame(frameType.headers, 0, 1), frame(99, 0, 1)],
    ["CONTINUATION of another stream (6.10)", p, SETTINGS, frame(1, 0, 1), frame(frameType.continuation, 4, 3)],
    [
      "a flood of CONTINUATIONs",
      errorCode.enhanceYourCalm,
      SETTINGS,
      frame(1, 0, 1),
      ...Array.from({ length: 33 }, () => frame(frameType.continuation, 0, 1)),
    ],
    [
      "a header block beyond all limits",
      errorCode.enhanceYourCalm,
      SETTINGS,
      frame(1, 0, 1, Buffer.alloc(4_000)),
      frame(frameType.continuation, 0, 1, Buffer.alloc(97)),
    ],
  ] as const) {
    test(`${name} is refused`, () => {
      assert.equal(parse(Buffer.concat(frames), []).code, code);
      assert.equal(parse(Buffer.concat(frames), [1, 3, 7, 10, 12, 20, 4_050]).code, code);
    });
  }

  test("another preface is refused at its first wrong octet (3.4)", () => {
    assert.equal(parse(Buffer.from("GET / HTTP/1.1\r\n\r\n"), [], true).code, p);
    assert.equal(parse(Buffer.from("PRI"), [], true).code, undefined);
  });
});
