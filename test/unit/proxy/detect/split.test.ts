/** What comes first on a connection means the same, however it is cut: an answer that was given for a prefix stands for the whole. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readClientHello } from "../../../../runtime/proxy/detect/client-hello.ts";
import { detectProtocol } from "../../../../runtime/proxy/detect/protocol.ts";
import { decodeTransportHeader, encodeTransportHeader } from "../../../../runtime/proxy/tls/transport-header.ts";

/** A ClientHello by hand (RFC 8446, 4.1.2) with server_name (RFC 6066, 3) and ALPN (RFC 7301, 3.1), in one record. */
function hello(serverName: string, protocols: readonly string[]): Buffer {
  const sized = (lengthBytes: number, ...parts: Buffer[]): Buffer => {
    const body = Buffer.concat(parts);
    const length = Buffer.alloc(lengthBytes);
    length.writeUIntBE(body.length, 0, lengthBytes);
    return Buffer.concat([length, body]);
  };
  const extension = (type: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([0, type]), sized(2, body)]);
  const name = extension(0, sized(2, Buffer.from([0]), sized(2, Buffer.from(serverName))));
  const alpn = extension(16, sized(2, ...protocols.map((protocol) => sized(1, Buffer.from(protocol)))));
  const message = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    sized(1),
    sized(2, Buffer.from([0x13, 1])),
    sized(1, Buffer.from([0])),
    sized(2, name, ...(protocols.length > 0 ? [alpn] : [])),
  ]);
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(2, Buffer.from([1]), sized(3, message))]);
}

/** Bytes with some of them changed. */
function damaged(whole: Buffer): fc.Arbitrary<Buffer> {
  return fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 3 }).map((changes) => {
    const bytes = Buffer.from(whole);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes;
  });
}

/** @returns the first answer that a reader gives as bytes come one by one */
function byteByByte<Answer>(bytes: Buffer, read: (prefix: Buffer) => Answer | "incomplete"): Answer | "incomplete" {
  for (let length = 0; length < bytes.length; length++) {
    const answer = read(bytes.subarray(0, length));
    if (answer !== "incomplete") return answer;
  }
  return read(bytes);
}

const NAME = fc.stringMatching(/^[a-z]{1,20}(\.[a-z]{1,20}){0,3}$/);

describe("any split gives the same result", () => {
  test("a ClientHello, whole or damaged, and what follows it", () => {
    assert.deepEqual(readClientHello(hello("web.test", ["h2"])), { serverName: "web.test", protocols: ["h2"] });
    fc.assert(
      fc.property(
        fc
          .tuple(NAME, fc.array(NAME, { maxLength: 3 }))
          .chain(([name, protocols]) => damaged(Buffer.concat([hello(name, protocols), Buffer.from("more")]))),
        (bytes) => assert.deepEqual(byteByByte(bytes, readClientHello), readClientHello(bytes)),
      ),
      { numRuns: 300 },
    );
  });

  test("a transport header, whole or damaged, and what follows it", () => {
    fc.assert(
      fc.property(
        fc
          .tuple(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom(undefined, "http1", "http2"))
          .chain(([port, protocol]) =>
            damaged(
              Buffer.concat([
                encodeTransportHeader(protocol === undefined ? { port } : { port, protocol }),
                Buffer.from("GET /"),
              ]),
            ),
          ),
        (bytes) => assert.deepEqual(byteByByte(bytes, decodeTransportHeader), decodeTransportHeader(bytes)),
      ),
      { numRuns: 1_000 },
    );
  });

  test("what HTTP begins with, whole or damaged, and what follows it", () => {
    const line = fc
      .tuple(
        fc.constantFrom("GET", "M-SEARCH", "PRI", "EHLO", "CONNECT"),
        fc.constantFrom("/", "*", "http://a/b?c", `/${"x".repeat(9_000)}`),
        fc.constantFrom("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "SPDY/3"),
      )
      .map((parts) => Buffer.from(`${parts.join(" ")}\r\n\r\nSM\r\n\r\n`));
    const detect = (bytes: Buffer): string => {
      const found = detectProtocol(bytes, 0, bytes.length);
      return found === "undecided" ? "incomplete" : found;
    };
    fc.assert(
      fc.property(line.chain(damaged), fc.nat(40), (whole, length) => {
        const bytes = whole.length > 1_000 ? whole : whole.subarray(0, Math.max(length, 20));
        assert.equal(byteByByte(bytes, detect), detect(bytes));
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Z -]{0,8}[ -~]{0,20}$/), (text) => {
        const bytes = Buffer.from(text);
        assert.equal(byteByByte(bytes, detect), detect(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  test("any octets after a good beginning", () => {
    const begin = encodeTransportHeader({ port: 80 }).subarray(0, 23);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (rest) => {
        const bytes = Buffer.concat([begin, rest]);
        assert.deepEqual(byteByByte(bytes, decodeTransportHeader), decodeTransportHeader(bytes));
        const record = Buffer.concat([Buffer.from([22, 3, 1, 0, rest.length]), rest]);
        assert.deepEqual(byteByByte(record, readClientHello), readClientHello(record));
      }),
      { numRuns: 2_000 },
    );
  });
});
