/** What a connection's first bytes are taken for. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import fc from "fast-check";
import { readClientHello } from "../../../../runtime/proxy/detect/client-hello.ts";
import { FirstBytes, type Occasion } from "../../../../runtime/proxy/detect/first-bytes.ts";
import { detectProtocol } from "../../../../runtime/proxy/detect/protocol.ts";
import { nobody } from "../../../../runtime/proxy/transport/stream.ts";
import { MemoryStream } from "../http1/memory-stream.ts";

/** What node:tls says first. */
function helloOf(options: { servername?: string; ALPNProtocols?: string[] }): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => {
        chunks.push(chunk);
        const hello = Buffer.concat(chunks);
        if (hello.length < 5 + hello.readUInt16BE(3)) return;
        socket.destroy();
        server.close();
        resolve(hello);
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      tlsConnect({ host: "127.0.0.1", port, ...options }).on("error", () => undefined);
    });
  });
}

/** The same handshake message, in records of `size` bytes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

describe("ClientHello", () => {
  test("name and protocols of a real one are read, in whatever records", async () => {
    const hello = await helloOf({ servername: "Web.Test", ALPNProtocols: ["transport.l5d.io/v1", "h2"] });
    const expected = { serverName: "web.test", protocols: ["transport.l5d.io/v1", "h2"] };
    assert.deepEqual(readClientHello(hello), expected);
    for (const size of [1, 7, 100, 1_000]) assert.deepEqual(readClientHello(inRecords(hello, size)), expected);
    assert.deepEqual(readClientHello(Buffer.concat([hello, Buffer.from("more")])), expected);
  });

  test("without a name it has none", async () => {
    assert.deepEqual(readClientHello(await helloOf({})), { serverName: undefined, protocols: [] });
  });

  test("every prefix is incomplete", async () => {
    const hello = await helloOf({ servername: "web.test" });
    for (let length = 0; length < hello.length; length++)
      assert.equal(readClientHello(hello.subarray(0, length)), "incomplete", String(length));
  });

  test("damage never throws, whatever it makes of the bytes", async () => {
    const hello = await helloOf({ servername: "web.test", ALPNProtocols: ["h2"] });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(hello.length),
        (damage, length) => {
          const bytes = Buffer.from(hello);
          for (const [at, value] of damage) bytes[at] = value;
          readClientHello(bytes.subarray(0, length));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  for (const text of [
    "GET / HTTP/1.1\r\n",
    "\x16\x02\x00",
    "\x16\x03\x01\x00\x00",
    "\x16\x03\x01\xff\xff\x01",
    "\x16\x03\x01\x00\x05\x02",
    "SSH-2.0-x",
  ]) {
    test(`${JSON.stringify(text)} is none`, () =>
      assert.equal(readClientHello(Buffer.from(text, "latin1")), "not-tls"));
  }
});

describe("protocols", () => {
  const cases: readonly (readonly [text: string, protocol: string])[] = [
    ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "http1"],
    ["GET / HTTP/1.0\r\n\r\n", "http1"],
    ["M-SEARCH * HTTP/1.1\r\n", "http1"],
    ["GET /a/very/long/path/of/which/the/end/is/not/here", "undecided"],
    [`GET /${"a".repeat(9_000)}`, "http1"],
    ["GET", "undecided"],
    ["GET ", "undecided"],
    ["GET / ", "undecided"],
    ["GET / HTTP/1.", "undecided"],
    ["PRI * HTTP/2", "undecided"],
    ["PRI * HTTP/1.1", "http1"],
    [`${"A".repeat(33)}`, "opaque"],
    ["GET  HTTP/1.1\r\n", "opaque"],
    ["PING\r\n", "opaque"],
    ['CONNECT {"verbose":false}\r\n', "opaque"],
    ["AMQP\0\0\x09\x01", "opaque"],
    ["CONNECT web:443 HTTP/1.1\r\n", "http1"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
    ["PRI * HTTP/2.0", "http2"],
    ["PRI * HTTP/1.1\r\n\r\n", "http1"],
    ["GET / HTTP/3.0\r\n\r\n", "opaque"],
    ["GET / SPDY/1.0\r\n\r\n", "opaque"],
    ["get / HTTP/1.1\r\n\r\n", "opaque"],
    ["HELO mail.example.com\r\n", "opaque"],
    ["*3\r\n$3\r\nSET\r\n$1\r\na\r\n", "opaque"],
    ["SSH-2.0-OpenSSH_9.6\r\n", "opaque"],
    ["\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\0\0\0\0", "opaque"],
    ["", "undecided"],
  ];
  for (const [text, protocol] of cases) {
    test(`${JSON.stringify(text.slice(0, 30))} is ${protocol}`, () => {
      const bytes = Buffer.from(`##${text}##`, "latin1");
      assert.equal(detectProtocol(bytes, 2, bytes.length - 2), protocol);
    });
  }
});

describe("first bytes", () => {
  function watch(
    timeoutMs: number,
    wanted: number,
  ): { first: FirstBytes; stream: MemoryStream; seen: [string, Occasion][]; gone: () => boolean } {
    const stream = new MemoryStream();
    const seen: [string, Occasion][] = [];
    let gone = false;
    const first = new FirstBytes(
      timeoutMs,
      (bytes, start, end, occasion) => {
        seen.push([bytes.toString("latin1", start, end), occasion]);
        return end - start >= wanted;
      },
      () => {
        gone = true;
      },
    );
    first.stream = stream;
    stream.owner = first;
    return { first, stream, seen, gone: () => gone };
  }

  test("they are gathered until they are enough, and then time stands still", async () => {
    const { stream, seen, gone } = watch(30, 5);
    await stream.receive("abcdef", [2, 4]);
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.deepEqual(seen, [
      ["ab", "data"],
      ["abcd", "data"],
      ["abcdef", "data"],
    ]);
    assert.equal(gone(), false);
  });

  test("a ClientHello is the same however it is cut, and every byte of it is there for who takes over", async () => {
    const hello = await helloOf({ servername: "Web.Test", ALPNProtocols: ["h2"] });
    const text = Buffer.concat([inRecords(hello, 200), Buffer.from("early")]).toString("latin1");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(text.length), { maxLength: 12 }), async (cuts) => {
        const stream = new MemoryStream();
        let taken = "";
        let name: string | undefined;
        const first = new FirstBytes(
          10_000,
          (bytes, start, end) => {
            const found = readClientHello(bytes.subarray(start, end));
            if (typeof found === "string") {
              assert.equal(found, "incomplete");
              return false;
            }
            name = found.serverName;
            taken = bytes.toString("latin1", start, end);
            stream.owner = { ...nobody, onData: (more, from, to) => (taken += more.toString("latin1", from, to)) };
            return true;
          },
          () => assert.fail("nobody closes"),
        );
        first.stream = stream;
        stream.owner = first;
        await stream.receive(
          text,
          cuts.toSorted((a, b) => a - b),
        );
        assert.equal(name, "web.test");
        assert.equal(taken, text);
      }),
    );
  });

  test("silence asks once more, with what there is, and ends the connection", async () => {
    const { stream, seen, gone } = watch(30, 5);
    await stream.receive("abc", []);
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.deepEqual(seen.at(-1), ["abc", "silence"]);
    assert.equal(stream.closed, "closed");
    assert.equal(gone(), true);
  });

  test("so does the end", async () => {
    const { first, stream, seen } = watch(10_000, 5);
    await stream.receive("abc", []);
    first.onEnd();
    assert.deepEqual(seen.at(-1), ["abc", "end"]);
    assert.equal(stream.closed, "closed");
  });
});
