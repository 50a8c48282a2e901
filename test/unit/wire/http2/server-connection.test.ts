/** The server's role, frame by frame; sections are RFC 9113's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { errorCode, flag, frameType } from "../../../../runtime/wire/http2/protocol.ts";
import { block, END, fieldsOf, frame, number32, Server, StreamLog } from "./support.ts";

const GET: [string, string][] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
];
const headers = (payload: Buffer, flags: number = END, id = 1): Buffer => frame(frameType.headers, flags, id, payload);
const data = (text: string, flags = 0, id = 1): Buffer => frame(frameType.data, flags, id, Buffer.from(text));
/** A priority that names stream 1. */
const SELF = Buffer.from("0000000100", "hex");
const OK = fieldsOf([":status", "200"]);

describe("a server's connection", () => {
  test("says SETTINGS first, without push (6.5.2), and takes a request with body and trailers", () => {
    const server = new Server();
    assert.deepEqual(server.sent.lines, ["settings 00030000000a000600004000", "settings ack"]);
    server.receive(
      headers(block(...GET, ["content-length", "3"]), flag.endHeaders),
      data("abc"),
      headers(block(["check", "sum"])),
    );
    const [request] = server.requests;
    assert.equal(request?.head, ":method=GET :scheme=http :path=/ content-length=3");
    assert.equal(request.log.body, "abc");
    assert.deepEqual(request.log.lines, ["trailers check=sum"]);
    request.stream.sendHeaders(OK, false);
    request.stream.send(Buffer.from("answer"), 0, 6, true);
    server.flush();
    assert.deepEqual(server.sent.lines.slice(2), [
      "headers 1 88 false",
      "data frame 1 6",
      `data 1 ${Buffer.from("answer").toString("hex")} true`,
    ]);
    assert.equal(request.log.reset, null);
  });

  test("an answer may be given within the call that brings the request", () => {
    const server = new Server();
    server.answer = (stream) => stream.sendHeaders(OK, true);
    for (let id = 1; id < 2_000; id += 2) server.receive(headers(block(...GET), END, id));
    assert.equal(server.requests.length, 1_000);
    assert.equal(server.http2.openStreams, 0);
    assert.equal(server.closedWith, "open");
  });

  test("CONNECT has an authority and nothing else (8.5)", () => {
    const server = new Server();
    server.receive(headers(block([":method", "CONNECT"], [":authority", "a:1"]), flag.endHeaders));
    assert.equal(server.requests.length, 1);
    server.receive(headers(block([":method", "CONNECT"], [":authority", "a:1"], [":path", "/"]), flag.endHeaders, 3));
    assert.equal(server.requests.length, 1);
    assert.equal(server.sent.lines.at(-1), "reset 3 1");
  });

  test("more streams than allowed are refused, and may come again (5.1.2)", () => {
    const server = new Server({ maxConcurrentStreams: 2 });
    for (const id of [1, 3, 5]) server.receive(headers(block(...GET), END, id));
    assert.equal(server.sent.lines.at(-1), `reset 5 ${errorCode.refusedStream}`);
    server.requests[0]?.stream.sendHeaders(OK, true);
    server.receive(headers(block(...GET), END, 7));
    assert.equal(server.requests.length, 3);
  });

  test("after its GOAWAY nothing new is taken, and what is open goes on (6.8)", () => {
    const server = new Server();
    server.receive(headers(block(...GET)));
    server.http2.goAway("drain");
    server.receive(headers(block(...GET), flag.endHeaders, 3), data("x", 1, 3), frame(8, 0, 3, number32(1)));
    assert.equal(server.goAway, "goaway 1 0 drain");
    assert.equal(server.sent.lines.at(-1), `reset 3 ${errorCode.refusedStream}`);
    server.requests[0]?.stream.sendHeaders(OK, true);
    assert.equal(server.requests[0]?.log.reset, null);
    assert.equal(server.closedWith, "open");
  });

  test("header fields beyond the limit are answered with 431", () => {
    const server = new Server();
    server.receive(headers(block(...GET, ["a", "b".repeat(16_000)], ["c", "d".repeat(300)])));
    assert.equal(server.requests.length, 0);
    assert.equal(server.sent.lines.at(-2), "headers 1 4803343331 true");
    assert.equal(server.sent.lines.at(-1), "reset 1 0");
  });

  test("a client's reset ends its request", () => {
    const server = new Server();
    server.receive(headers(block(...GET)), frame(frameType.resetStream, 0, 1, number32(errorCode.cancel)));
    assert.equal(server.requests[0]?.log.reset?.code, errorCode.cancel);
    server.requests[0]?.stream.sendHeaders(OK, true);
    server.flush();
    assert.equal(server.sent.lines.at(-1), "settings ack");
  });

  test("a flood of requests that are given up ends it (rapid reset), one that is answered does not", () => {
    const server = new Server();
    const giveUp = (id: number): void =>
      server.receive(headers(block(...GET), END, id), frame(frameType.resetStream, 0, id, number32(8)));
    let id = 1;
    for (; id < 700; id += 2) giveUp(id);
    server.answer = (stream) => stream.sendHeaders(OK, true);
    for (; id < 2_000; id += 2) server.receive(headers(block(...GET), END, id));
    server.answer = undefined;
    for (; id < 2_900; id += 2) giveUp(id);
    assert.equal(server.closedWith, "open");
    for (; id < 4_000; id += 2) giveUp(id);
    assert.match(server.goAway ?? "", /^goaway \d+ 11 .*given up/);
  });
});

describe("a request is malformed, and its stream alone ends (8.1.1)", () => {
  for (const [name, payload, more = END] of [
    ["without :method (8.3.1)", block([":scheme", "http"], [":path", "/"])],
    ["without :scheme (8.3.1)", block([":method", "GET"], [":path", "/"])],
    ["without :path (8.3.1)", block([":method", "GET"], [":scheme", "http"])],
    ["with an empty :path (8.3.1)", block([":method", "GET"], [":scheme", "http"], [":path", ""])],
    ["with two of :method (8.3.1)", block(...GET, [":method", "GET"])],
    ["with a response's pseudo-field (8.3)", block(...GET, [":status", "200"])],
    ["with an unknown pseudo-field (8.3)", block(...GET, [":what", "x"])],
    [
      "with a pseudo-field after a regular one (8.3)",
      block([":method", "GET"], ["a", "b"], [":scheme", "http"], [":path", "/"]),
    ],
    ["with an upper-case name (8.2.1)", block(...GET, ["A", "b"])],
    ["with Connection (8.2.2)", block(...GET, ["connection", "close"])],
    ["with TE of something else than trailers (8.2.2)", block(...GET, ["te", "gzip"])],
    ["with a length and no body (8.1.1)", block(...GET, ["content-length", "1"])],
    ["with a length that is no number", block(...GET, ["content-length", "1x"]), flag.endHeaders],
  ] as const) {
    test(name, () => {
      const server = new Server();
      server.receive(headers(payload, more));
      assert.equal(server.requests.length, 0);
      assert.equal(server.sent.lines.at(-1), `reset 1 ${errorCode.protocolError}`);
      assert.equal(server.closedWith, "open");
      server.receive(headers(block(...GET), END, 3));
      assert.equal(server.requests.length, 1);
    });
  }

  test("a body longer than it says", () => {
    const server = new Server();
    server.receive(headers(block(...GET, ["content-length", "1"]), flag.endHeaders), data("ab"));
    assert.equal(server.requests[0]?.log.reset?.code, errorCode.protocolError);
  });
});

describe("a client's mistakes end the connection", () => {
  for (const [name, code, ...frames] of [
    ["a stream of even number (5.1.1)", 1, headers(block(...GET), END, 2)],
    ["DATA on an idle stream (5.1)", 1, data("x")],
    ["RST_STREAM on an idle stream (5.1)", 1, frame(frameType.resetStream, 0, 1, number32(0))],
    ["a stream below the last one (5.1.1)", 5, headers(block(...GET), END, 5), headers(block(...GET), END, 3)],
    [
      "HEADERS on a stream that depends on itself",
      1,
      headers(Buffer.concat([SELF, block(...GET)]), END | flag.priority),
    ],
    ["PRIORITY of a stream that depends on itself", 1, frame(frameType.priority, 0, 1, SELF)],
    ["PRIORITY of four bytes, though of a closed stream (6.3)", 6, frame(frameType.priority, 0, 1, number32(0))],
    ["PUSH_PROMISE (8.4)", 1, frame(frameType.pushPromise, flag.endHeaders, 1, number32(2))],
  ] as const) {
    test(`${name}: ${code}`, () => {
      const server = new Server();
      server.receive(...frames);
      assert.match(server.goAway ?? "", new RegExp(`^goaway \\d ${code} `));
      assert.ok(server.closedWith instanceof Error);
    });
  }

  test("DATA after END_STREAM ends the stream (5.1)", () => {
    const server = new Server();
    server.receive(headers(block(...GET)), data("x"));
    assert.equal(server.requests[0]?.log.reset?.code, errorCode.streamClosed);
    assert.ok(server.requests[0]?.log instanceof StreamLog);
  });
});
