/** The client's role, frame by frame; sections are RFC 9113's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { literalField } from "../../../../runtime/wire/hpack/field.ts";
import { errorCode, flag, frameType, Http2Error, MAX_WINDOW } from "../../../../runtime/wire/http2/protocol.ts";
import {
  block,
  Client,
  END,
  fieldsOf,
  frame,
  number32,
  REQUEST,
  requesting,
  SETTINGS,
  StreamLog,
  setting,
} from "./support.ts";

const OK = block([":status", "200"]);
const headers = (payload: Buffer, flags: number = flag.endHeaders, id = 1): Buffer =>
  frame(frameType.headers, flags, id, payload);
const data = (text: string, flags = 0, id = 1): Buffer => frame(frameType.data, flags, id, Buffer.from(text));

describe("a client's connection", () => {
  test("says its preface, SETTINGS without push and its window, then requests (3.4)", () => {
    const client = new Client({ initialWindow: 100_000 });
    assert.deepEqual(client.sent.lines, ["settings 0002000000000004000186a0000600004000", "window 0 934465"]);
    client.http2.request(REQUEST, true, new StreamLog());
    client.flush();
    assert.match(client.sent.lines[2] ?? "", /^headers 1 83868441/);
  });

  test("acknowledges SETTINGS and PING (6.5.3, 6.7)", () => {
    const client = new Client();
    client.receive(SETTINGS, frame(frameType.ping, 0, 0, Buffer.from("12345678")));
    assert.deepEqual(client.sent.lines.slice(2), ["settings ack", "ping 3132333435363738 true"]);
    client.http2.ping();
    client.flush();
    assert.equal(client.sent.lines.at(-1), "ping 0000000000000000 false");
    client.receive(frame(frameType.ping, flag.ack, 0, Buffer.alloc(8)));
    assert.equal(client.pings, 1);
  });

  test("an answer to HEAD says the length of a body that it must not have, however it ends (RFC 9110, 9.3.2)", () => {
    const asking = (): { client: Client; log: StreamLog } => {
      const client = new Client();
      const log = new StreamLog();
      client.receive(SETTINGS);
      const head = fieldsOf([":method", "HEAD"], [":scheme", "http"], [":path", "/"], [":authority", "a"]);
      client.http2.request(head, true, log);
      client.flush();
      client.receive(headers(block([":status", "200"], ["content-length", "4"])));
      return { client, log };
    };
    const empty = asking();
    empty.client.receive(data("", flag.endStream));
    assert.equal(empty.log.reset, null);
    const trailers = asking();
    trailers.client.receive(headers(block(["x-sum", "1"]), END));
    assert.equal(trailers.log.reset, null);
    const body = asking();
    body.client.receive(data("abcd", flag.endStream));
    assert.equal(body.log.reset?.code, errorCode.protocolError);
    assert.equal(body.log.body, "");
  });

  test("a response with interim ones, a body and trailers", () => {
    const { client, log } = requesting();
    client.receive(
      headers(block([":status", "103"], ["link", "x"])),
      headers(block([":status", "200"], ["content-length", "4"])),
      data("ab"),
      data("cd"),
      headers(block(["grpc-status", "0"]), END),
    );
    assert.deepEqual(log.lines, [
      "informational 103",
      "headers :status=200 content-length=4 false",
      "trailers grpc-status=0",
    ]);
    assert.equal(log.body, "abcd");
    assert.equal(log.reset, null);
    assert.equal(client.http2.openStreams, 0);
  });

  test("a response before the request is through leaves the request to its sender", () => {
    const client = new Client();
    const log = new StreamLog();
    client.receive(SETTINGS);
    const stream = client.http2.request(REQUEST, false, log);
    client.receive(headers(OK, END));
    assert.equal(log.reset, undefined);
    assert.equal(stream?.send(Buffer.from("x"), 0, 1, true), 1);
    assert.equal(log.reset, null);
  });

  test("sends as much as both windows allow, and the rest when they open (6.9)", () => {
    const client = new Client();
    const log = new StreamLog();
    client.receive(frame(frameType.settings, 0, 0, setting(4, 10)));
    const body = Buffer.from("0123456789abcdefghij");
    const stream = client.http2.request(REQUEST, false, log);
    assert.equal(stream?.send(body, 0, 20, true), 10);
    assert.equal(stream.send(body, 10, 20, true), 0);
    // A smaller window makes what is allowed negative (6.9.2).
    client.receive(frame(frameType.settings, 0, 0, setting(4, 5)), frame(frameType.windowUpdate, 0, 1, number32(5)));
    assert.equal(stream.send(body, 10, 20, true), 0);
    assert.equal(log.writable, 1);
    client.receive(frame(frameType.windowUpdate, 0, 1, number32(4)));
    assert.equal(log.writable, 2);
    assert.equal(stream.send(body, 10, 20, true), 4);
    client.receive(frame(frameType.settings, 0, 0, setting(4, 100)));
    assert.equal(log.writable, 3);
    assert.equal(stream.send(body, 14, 20, true), 6);
    client.flush();
    const sent = client.sent.lines.filter((line) => line.startsWith("data 1"));
    assert.deepEqual(sent, [
      `data 1 ${Buffer.from("0123456789").toString("hex")} false`,
      `data 1 ${Buffer.from("abcd").toString("hex")} false`,
      `data 1 ${Buffer.from("efghij").toString("hex")} true`,
    ]);
  });

  test("an end needs no window, and who tries again by himself is not told to try once more", () => {
    const client = new Client();
    const log = new StreamLog();
    client.receive(frame(frameType.settings, 0, 0, setting(4, 3)));
    const stream = client.http2.request(REQUEST, false, log);
    assert.equal(stream?.send(Buffer.from("abcd"), 0, 4, false), 3);
    assert.equal(stream.send(Buffer.alloc(0), 0, 0, true), 0);
    assert.equal(stream.localEnded, true);
    client.receive(frame(frameType.windowUpdate, 0, 1, number32(10)));
    assert.equal(log.writable, 0);
    assert.equal(client.sent.lines.at(-1), "data 1  true");
  });

  test("the connection's window holds all streams, each in its turn", () => {
    const client = new Client();
    client.receive(frame(frameType.settings, 0, 0, setting(4, 1_000_000)));
    const logs = [new StreamLog(), new StreamLog()];
    const streams = logs.map((log) => client.http2.request(REQUEST, false, log));
    const body = Buffer.alloc(60_000);
    assert.equal(streams[0]?.send(body, 0, body.length, false), 60_000);
    client.flush();
    assert.equal(streams[1]?.send(body, 0, body.length, false), 5_535);
    assert.equal(streams[0].send(body, 0, 1, false), 0);
    client.receive(frame(frameType.windowUpdate, 0, 0, number32(10)));
    assert.deepEqual(
      logs.map(({ writable }) => writable),
      [1, 1],
    );
  });

  test("output that nobody fetches holds senders back until a flush", () => {
    const client = new Client();
    const log = new StreamLog();
    client.receive(
      frame(frameType.settings, 0, 0, setting(4, 1_000_000)),
      frame(frameType.windowUpdate, 0, 0, number32(1_000_000)),
    );
    const stream = client.http2.request(REQUEST, false, log);
    const body = Buffer.alloc(70_000);
    assert.equal(stream?.send(body, 0, body.length, false), 70_000);
    assert.equal(stream.send(body, 0, body.length, false), 0);
    client.flush();
    assert.equal(log.writable, 1);
    assert.equal(stream.send(body, 0, 10, false), 10);
  });

  const padded = (length: number, padding: number): Buffer =>
    frame(frameType.data, flag.padded, 1, Buffer.concat([Buffer.from([padding]), Buffer.alloc(length + padding)]));
  const credits = (client: Client, streamId: number): string[] =>
    client.sent.lines.filter((line) => line.startsWith(`window ${streamId} `));

  test("credits what is consumed when half of the window is used, and padding by itself (6.9)", () => {
    const client = new Client();
    const log = new StreamLog();
    client.receive(SETTINGS);
    const stream = client.http2.request(REQUEST, true, log);
    client.receive(headers(OK), ...Array.from({ length: 3 }, () => padded(16_000, 99)));
    assert.equal(log.body.length, 48_000);
    assert.deepEqual(credits(client, 1), []);
    stream?.consume(32_000);
    stream?.consume(400);
    stream?.consume(15_600);
    client.flush();
    assert.deepEqual(credits(client, 1), ["window 1 48300"]);
  });

  test("DATA beyond a stream's window ends the stream, and the connection gets its bytes back (6.9.1)", () => {
    const { client, log } = requesting();
    client.receive(headers(OK), ...Array.from({ length: 4 }, () => padded(16_000, 99)), padded(1_600, 0));
    assert.equal(log.body.length, 64_000);
    assert.equal(log.reset?.code, errorCode.flowControlError);
    assert.equal(client.sent.lines.at(-1), `reset 1 ${errorCode.flowControlError}`);
    assert.equal(client.closedWith, "open");
    const given = credits(client, 0).length;
    for (let id = 3; id < 40; id += 2) {
      client.http2.request(REQUEST, true, new StreamLog())?.reset(errorCode.cancel);
      client.receive(
        headers(OK, flag.endHeaders, id),
        data("x".repeat(16_384), 0, id),
        data("x".repeat(16_384), 0, id),
      );
    }
    assert.ok(credits(client, 0).length > given);
    assert.equal(client.closedWith, "open");
  });

  test("a reset names its code, and whether the request was looked at (8.7)", () => {
    for (const code of [errorCode.cancel, errorCode.refusedStream]) {
      const { client, log } = requesting();
      client.receive(frame(frameType.resetStream, 0, 1, number32(code)));
      assert.equal(log.reset?.code, code);
      assert.equal(log.reset.unprocessed, code === errorCode.refusedStream);
      assert.equal(client.closedWith, "open");
    }
  });

  test("of a connection that ends, what was not flushed was not sent; of one that is ended for an error, all is flushed", () => {
    for (const [error, unsent] of [
      [new Error("gone"), true],
      [new Http2Error(errorCode.protocolError, "wrong"), false],
    ] as const) {
      const { client, log } = requesting();
      const second = new StreamLog();
      client.http2.request(REQUEST, true, second);
      client.http2.close(error);
      assert.deepEqual([log.reset?.lost, log.reset?.unprocessed], [true, false]);
      assert.deepEqual([second.reset?.lost, second.reset?.unprocessed], [true, unsent]);
    }
  });

  test("GOAWAY ends what the server has not seen, and only that (6.8)", () => {
    const { client, log } = requesting();
    const second = new StreamLog();
    client.http2.request(REQUEST, true, second);
    client.receive(frame(frameType.goAway, 0, 0, Buffer.concat([number32(1, 0), Buffer.from("restart")])));
    assert.equal(second.reset?.unprocessed, true);
    assert.equal(log.reset, undefined);
    assert.equal(client.http2.request(REQUEST, true, new StreamLog()), undefined);
    assert.match(client.goneAway[0] ?? "", /NO_ERROR, restart/);
    client.receive(headers(OK, END));
    assert.equal(log.reset, null);
  });

  test("no more streams than the server allows (5.1.2)", () => {
    const client = new Client();
    client.receive(frame(frameType.settings, 0, 0, setting(3, 1)));
    const log = new StreamLog();
    assert.ok(client.http2.request(REQUEST, true, log) !== undefined);
    assert.equal(client.http2.request(REQUEST, true, new StreamLog()), undefined);
    client.receive(headers(OK, END));
    assert.ok(client.http2.request(REQUEST, true, new StreamLog()) !== undefined);
  });

  test("what is under way on a stream that it has reset is no error (5.1)", () => {
    const client = new Client();
    client.receive(SETTINGS);
    const log = new StreamLog();
    client.http2.request(REQUEST, true, log)?.reset(errorCode.cancel);
    client.receive(headers(OK), data("late"), frame(frameType.windowUpdate, 0, 1, number32(1)));
    assert.equal(client.closedWith, "open");
    assert.deepEqual(log.lines, []);
    assert.equal(log.reset, undefined);
  });

  test("a header block of many frames is written and read", () => {
    const long = "x".repeat(20_000);
    const client = new Client({ maxHeaderListBytes: 65_536 });
    client.receive(SETTINGS);
    const log = new StreamLog();
    client.http2.request([...REQUEST, literalField("long", long)], true, log);
    client.flush();
    assert.ok(client.sent.lines.at(-1)?.includes(Buffer.from(long).toString("hex")));
    const response = block([":status", "200"], ["long", long]);
    client.receive(
      headers(response.subarray(0, 16_000), flag.endStream),
      frame(frameType.continuation, flag.endHeaders, 1, response.subarray(16_000)),
    );
    assert.equal(log.reset, null);
    assert.ok(log.lines[0]?.includes(long));
  });

  test("a closed connection tells each stream, once", () => {
    const { client, log } = requesting();
    client.http2.close(new Error("cable cut"));
    assert.deepEqual(log.reset, { code: errorCode.cancel, reason: "cable cut", unprocessed: false, lost: true });
    client.receive(headers(OK, END));
    assert.deepEqual(log.lines, []);
  });
});

describe("a response is malformed, and its stream alone ends (8.1.1)", () => {
  for (const [name, ...frames] of [
    ["without :status (8.3.2)", headers(block(["a", "b"]))],
    ["with a :status of two digits (8.3.2)", headers(block([":status", "20"]))],
    ["with two of :status (8.3)", headers(block([":status", "200"], [":status", "200"]))],
    ["with a request's pseudo-field (8.3)", headers(block([":status", "200"], [":path", "/"]))],
    ["with an upper-case name (8.2.1)", headers(block([":status", "200"], ["A", "b"]))],
    ["with a line end in a value (8.2.1)", headers(block([":status", "200"], ["a", "b\r\nc: d"]))],
    ["with a blank around a value (8.2.1)", headers(block([":status", "200"], ["a", " b"]))],
    ["with an empty name (8.2.1)", headers(block([":status", "200"], ["", "b"]))],
    ["with Connection (8.2.2)", headers(block([":status", "200"], ["connection", "close"]))],
    ["with Transfer-Encoding (8.2.2)", headers(block([":status", "200"], ["transfer-encoding", "chunked"]))],
    ["which ends as an interim one (8.1)", headers(block([":status", "100"]), END)],
    ["with DATA before its head (8.1)", data("x")],
    ["with a pseudo-field in trailers (8.1)", headers(OK), headers(block([":status", "200"]), END)],
    ["with trailers that do not end it (8.1)", headers(OK), headers(block(["a", "b"]))],
    ["shorter than it says (8.1.1)", headers(block([":status", "200"], ["content-length", "3"])), data("ab", 1)],
    ["longer than it says (8.1.1)", headers(block([":status", "200"], ["content-length", "3"])), data("abcd")],
    [
      "shorter, with trailers",
      headers(block([":status", "200"], ["content-length", "3"])),
      headers(block(["a", "b"]), END),
    ],
    ["with two lengths", headers(block([":status", "200"], ["content-length", "3"], ["content-length", "4"]))],
  ] as const) {
    test(name, () => {
      const { client, log } = requesting();
      client.receive(...frames);
      assert.equal(log.reset?.code, errorCode.protocolError);
      assert.equal(client.sent.lines.at(-1), `reset 1 ${errorCode.protocolError}`);
      assert.equal(client.closedWith, "open");
    });
  }

  test("with fields beyond our limit", () => {
    const { client, log } = requesting();
    client.receive(headers(block([":status", "200"], ["a", "b".repeat(16_000)], ["c", "d".repeat(300)]), END));
    assert.equal(log.reset?.code, errorCode.enhanceYourCalm);
    assert.equal(client.closedWith, "open");
  });

  test("but not where it has no body and says how long it would be (RFC 9110, 8.6)", () => {
    const { client, log } = requesting();
    client.receive(headers(block([":status", "304"], ["content-length", "10"]), END));
    assert.equal(log.reset, null);
  });
});

describe("the connection ends with a code", () => {
  for (const [name, code, ...frames] of [
    ["HEADERS on a stream that nobody opened (5.1)", 1, headers(OK, END, 3)],
    ["HEADERS on an even stream (5.1.1)", 1, headers(OK, END, 2)],
    ["DATA on an idle stream (5.1)", 1, data("x", 0, 5)],
    ["RST_STREAM on an idle stream (6.4)", 1, frame(frameType.resetStream, 0, 3, number32(0))],
    ["WINDOW_UPDATE on an idle stream (6.9)", 1, frame(frameType.windowUpdate, 0, 3, number32(1))],
    ["WINDOW_UPDATE of 0 (6.9)", 1, frame(frameType.windowUpdate, 0, 0, number32(0))],
    ["a connection's window too large (6.9.1)", 3, frame(frameType.windowUpdate, 0, 0, number32(MAX_WINDOW))],
    ["an initial window too large (6.5.2)", 3, frame(frameType.settings, 0, 0, setting(4, MAX_WINDOW + 1))],
    [
      "SETTINGS that make an open window too large (6.9.2)",
      3,
      frame(frameType.windowUpdate, 0, 1, number32(1_000)),
      frame(frameType.settings, 0, 0, setting(4, MAX_WINDOW)),
    ],
    ["a frame size too small (6.5.2)", 1, frame(frameType.settings, 0, 0, setting(5, 16_383))],
    ["ENABLE_PUSH from a server (6.5.2)", 1, frame(frameType.settings, 0, 0, setting(2, 1))],
    ["a header block that cannot be decoded (4.3)", 9, headers(Buffer.from("80", "hex"))],
    ["DATA after the end (5.1)", 5, headers(OK, END), data("x")],
    [
      "a PING flood that is never answered",
      11,
      ...Array.from({ length: 1_001 }, () => frame(frameType.ping, 0, 0, Buffer.alloc(8))),
    ],
    ["a SETTINGS flood", 11, ...Array.from({ length: 1_001 }, () => SETTINGS)],
    ["a flood of empty DATA", 11, headers(OK), ...Array.from({ length: 2_100 }, () => data(""))],
    [
      "a flood of PRIORITY",
      11,
      ...Array.from({ length: 2_100 }, () => frame(frameType.priority, 0, 1, Buffer.from("0000000000", "hex"))),
    ],
    ["a flood of frames unknown to us", 11, ...Array.from({ length: 2_100 }, () => frame(99, 0, 0))],
  ] as const) {
    test(`${name}: ${code}`, () => {
      const { client, log } = requesting();
      client.receive(...frames);
      assert.match(client.goAway ?? "", new RegExp(`^goaway 0 ${code} `));
      assert.ok(client.closedWith instanceof Error);
      assert.notEqual(log.reset, undefined);
    });
  }

  test("a flood ends it however slowly its answers are fetched, but PINGs of a busy stream do not", () => {
    const { client } = requesting();
    client.receive(headers(OK));
    for (let index = 0; index < 5_000; index++) {
      client.receive(data("x"), frame(frameType.ping, 0, 0, Buffer.alloc(8)));
    }
    assert.equal(client.closedWith, "open");
    for (let index = 0; index < 2_500; index++) client.receive(frame(frameType.ping, 0, 0, Buffer.alloc(8)));
    assert.match(client.goAway ?? "", /^goaway 0 11 /);
  });

  test("PINGs over a long time are no flood", () => {
    const { client } = requesting();
    for (let index = 0; index < 6_000; index++) {
      client.clock += 10;
      client.receive(frame(frameType.ping, 0, 0, Buffer.alloc(8)));
    }
    assert.equal(client.closedWith, "open");
  });
});
