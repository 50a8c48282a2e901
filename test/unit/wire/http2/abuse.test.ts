/** What a client may do to hurt a server (RFC 9113, 10.5) is bounded, and then its connection is closed; h2spec tries none of it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { flag, frameType } from "../../../../runtime/wire/http2/protocol.ts";
import type { Http2Stream } from "../../../../runtime/wire/http2/stream.ts";
import { block, END, fieldsOf, frame, number32, Server, setting } from "./support.ts";

const GET: readonly [name: string, value: string][] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
];
const MAX_FRAMES = 20_000;
const get = (id: number): Buffer => frame(frameType.headers, END, id, block(...GET));

/** Sends `next` until the server has enough. @returns its GOAWAY, and how many it took */
function flood(server: Server, next: (index: number) => Buffer): { goAway: string; frames: number } {
  let frames = 0;
  while (server.closedWith === "open" && frames < MAX_FRAMES) server.receive(next(frames++));
  return { goAway: server.goAway ?? "none", frames };
}

describe("a flood ends the connection with ENHANCE_YOUR_CALM", () => {
  const empty = Buffer.alloc(0);
  const floods: Readonly<Record<string, (index: number) => Buffer>> = {
    "of SETTINGS (6.5)": () => frame(frameType.settings, 0, 0, setting(3, 1)),
    "of SETTINGS without any (6.5)": () => frame(frameType.settings, 0, 0),
    "of PING (6.7)": () => frame(frameType.ping, 0, 0, Buffer.alloc(8)),
    "of PRIORITY (5.3.2)": (index) => frame(frameType.priority, 0, 1 + 2 * (index % 50), Buffer.from([0, 0, 0, 0, 1])),
    "of frames of unknown types (5.5)": () => frame(0xbb, 0, 0, empty),
  };
  for (const [name, next] of Object.entries(floods)) {
    test(name, () => {
      const { goAway, frames } = flood(new Server(), next);
      assert.match(goAway, /^goaway \d+ 11 /);
      assert.ok(frames <= 5_000, `after ${frames} frames`);
    });
  }

  test("of empty DATA on an open stream (6.1)", () => {
    const server = new Server();
    server.receive(frame(frameType.headers, flag.endHeaders, 1, block(...GET)));
    const { goAway, frames } = flood(server, () => frame(frameType.data, 0, 1, empty));
    assert.match(goAway, /^goaway \d+ 11 /);
    assert.ok(frames <= 5_000, `after ${frames} frames`);
  });

  test("of CONTINUATION, each with nothing (6.10)", () => {
    const server = new Server();
    server.receive(frame(frameType.headers, flag.endStream, 1, block(...GET)));
    const { goAway, frames } = flood(server, () => frame(frameType.continuation, 0, 1, empty));
    assert.match(goAway, /^goaway \d+ (11|1) /);
    assert.ok(frames <= 5_000, `after ${frames} frames`);
  });

  test("of CONTINUATION, each with a field (6.10): no more is kept than a block may have", () => {
    const server = new Server();
    server.receive(frame(frameType.headers, flag.endStream, 1, block(...GET)));
    const field = block(["x", "y".repeat(1_000)]);
    const { goAway, frames } = flood(server, () => frame(frameType.continuation, 0, 1, field));
    assert.match(goAway, /^goaway \d+ (11|1) /);
    assert.ok(frames * field.length <= 64 * 1_024, `after ${frames} frames of ${field.length} bytes`);
  });
});

describe("a bomb of header fields (RFC 7541, 7.3)", () => {
  test("a block of references that would be 32 MiB decoded is answered with 431, and its fields never seen", () => {
    const server = new Server();
    // One entry of 4,000 bytes in the table (6.2.1), then as many references to it (6.1) as fit a block.
    const big = Buffer.from("v".repeat(3_900));
    const literal = Buffer.concat([Buffer.from([0x40, 1, 0x78, 0x7f, ...varint(big.length - 127)]), big]);
    const bomb = Buffer.concat([block(...GET), literal, Buffer.alloc(8_192, 0x80 | 62)]);
    server.receive(frame(frameType.headers, END, 1, bomb));
    assert.equal(server.requests.length, 0);
    // 431 as a literal of the static table's :status (RFC 7541, 6.2.1), then its end.
    assert.deepEqual(server.sent.lines.slice(-2), ["headers 1 4803343331 true", "reset 1 0"]);
    server.answer = (stream) => stream.sendHeaders(fieldsOf([":status", "200"]), true);
    server.receive(get(3));
    assert.equal(server.requests.length, 1, "the connection goes on");
  });

  /** An integer's rest (RFC 7541, 5.1). */
  function varint(value: number): number[] {
    const bytes: number[] = [];
    for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    return [...bytes, value];
  }
});

describe("a client that opens no window (6.9)", () => {
  const body = Buffer.alloc(1_000_000, 1);

  test("gets heads and no byte of a body; nothing is kept for it", () => {
    const server = new Server();
    server.receive(frame(frameType.settings, 0, 0, setting(4, 0)));
    const taken: number[] = [];
    server.answer = (stream: Http2Stream) => {
      stream.sendHeaders(fieldsOf([":status", "200"]), false);
      taken.push(stream.send(body, 0, body.length, true));
    };
    for (let id = 1; id < 20; id += 2) server.receive(get(id));
    assert.deepEqual(taken, Array(10).fill(0));
    assert.equal(server.closedWith, "open");
    assert.ok(!server.sent.lines.some((line) => line.startsWith("data")));
    server.receive(get(21));
    assert.equal(server.sent.lines.at(-1), "reset 21 7", "no more streams than allowed (5.1.2)");
  });

  test("that opens it byte by byte gets it so, and no more", () => {
    const server = new Server();
    server.receive(frame(frameType.settings, 0, 0, setting(4, 1)));
    let sent = 0;
    server.answer = (stream: Http2Stream) => {
      stream.sendHeaders(fieldsOf([":status", "200"]), false);
      sent += stream.send(body, 0, body.length, true);
    };
    server.receive(get(1));
    assert.equal(sent, 1);
  });
});

describe("a connection is read the same however its bytes are cut", () => {
  test("requests, bodies, trailers and mistakes", () => {
    const pieces = fc.constantFrom(
      ...[1, 3, 5].map((id) => get(id)),
      ...[1, 3].map((id) => frame(frameType.headers, flag.endHeaders, id, block(...GET))),
      frame(frameType.headers, flag.endStream, 5, block(...GET.slice(0, 1))),
      frame(frameType.continuation, flag.endHeaders, 5, block(...GET.slice(1))),
      frame(frameType.data, 0, 1, Buffer.from("body")),
      frame(frameType.data, flag.endStream, 1, Buffer.from("end")),
      frame(frameType.headers, END, 1, block(["trailer", "x"])),
      frame(frameType.resetStream, 0, 3, number32(8)),
      frame(frameType.ping, 0, 0, Buffer.alloc(8)),
      frame(frameType.windowUpdate, 0, 0, number32(1)),
      frame(frameType.windowUpdate, 0, 1, number32(0)),
      frame(frameType.settings, 0, 0, setting(4, 100)),
      frame(frameType.settings, 0, 0, setting(5, 1)),
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    );
    const told = (bytes: Buffer, cuts: readonly number[]): unknown => {
      const server = new Server();
      const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      for (let index = 1; index < edges.length; index++)
        server.receive(Buffer.from(bytes.subarray(edges[index - 1], edges[index])));
      return {
        sent: server.sent.lines,
        requests: server.requests.map(({ head, endStream }) => `${head} ${endStream}`),
        closed: server.closedWith === "open" ? "open" : String(server.closedWith),
      };
    };
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 10 }), fc.array(fc.nat(), { maxLength: 12 }), (frames, cuts) => {
        const bytes = Buffer.concat(frames);
        assert.deepEqual(told(bytes, cuts), told(bytes, []));
      }),
      { numRuns: 1_000 },
    );
  });
});
