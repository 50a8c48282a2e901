/** Heads: what is understood, what is cut out, what is refused. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { copyHead, Head, MAX_HEAD_BYTES } from "../../../../runtime/proxy/http1/head.ts";
import {
  COMPLETE,
  INCOMPLETE,
  MALFORMED,
  parseRequestHead,
  parseResponseHead,
  TOO_LARGE,
} from "../../../../runtime/proxy/http1/parse-head.ts";
import { MALFORMED_HEADS } from "./malformed-heads.ts";

const head = new Head();

function request(text: string): number {
  const bytes = Buffer.from(`before${text}`, "latin1");
  return parseRequestHead(bytes, 6, bytes.length, head);
}

function response(text: string, method = "GET"): number {
  const bytes = Buffer.from(text, "latin1");
  return parseResponseHead(bytes, 0, bytes.length, method, head);
}

function forwarded(text: string): string {
  const bytes = Buffer.from(text, "latin1");
  const target = Buffer.alloc(bytes.length);
  return target.toString("latin1", 0, copyHead(bytes, head, target, 0));
}

describe("request heads", () => {
  test("what is needed is found", () => {
    const text = "PUT /a/b?c=d HTTP/1.1\r\nHost:  web:80 \r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\nbody";
    assert.equal(request(text), COMPLETE);
    const bytes = Buffer.from(`before${text}`, "latin1");
    assert.equal(head.method, "PUT");
    assert.equal(bytes.toString("latin1", head.targetStart, head.targetEnd), "/a/b?c=d");
    assert.equal(bytes.toString("latin1", head.hostStart, head.hostEnd), "web:80");
    assert.deepEqual([head.bodyKind, head.contentLength, head.expectContinue, head.close], ["length", 12, true, false]);
    assert.equal(head.end, bytes.length - 4);
  });

  const good: Readonly<Record<string, string>> = {
    "any token as method": "M-SEARCH * HTTP/1.1\r\nhost: a\r\n\r\n",
    "HTTP/1.0 without Host": "GET / HTTP/1.0\r\n\r\n",
    "an empty value": "GET / HTTP/1.1\r\nhost: a\r\nx:\r\n\r\n",
    "obs-text in a value": "GET / HTTP/1.1\r\nhost: a\r\nx: \xe9\xff\r\n\r\n",
    "absolute form": "GET http://a/b HTTP/1.1\r\nhost: a\r\n\r\n",
    "chunked in capitals": "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
    "an authority for CONNECT": "CONNECT web:443 HTTP/1.1\r\nhost: web\r\n\r\n",
    "an empty host": "GET / HTTP/1.1\r\nhost:\r\n\r\n",
  };
  for (const [name, text] of Object.entries(good)) {
    test(`${name} is taken`, () => assert.equal(request(text), COMPLETE));
  }

  for (const [name, text] of Object.entries(MALFORMED_HEADS)) {
    test(`${name} is refused`, () => assert.equal(request(text), MALFORMED));
  }

  test("a head may have 64 KiB, and no more", () => {
    const filler = (bytes: number): string => `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(bytes)}\r\n\r\n`;
    const frame = filler(0).length;
    assert.equal(request(filler(MAX_HEAD_BYTES - frame)), COMPLETE);
    assert.equal(request(filler(MAX_HEAD_BYTES - frame + 1)), TOO_LARGE);
    assert.equal(request(`GET /${"y".repeat(MAX_HEAD_BYTES)}`), TOO_LARGE);
    assert.equal(request(`GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(MAX_HEAD_BYTES)}`), TOO_LARGE);
  });

  test("any prefix of a good head is incomplete", () => {
    const text = `GET /path HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nX: ${"y".repeat(40)}\r\n\r\n`;
    for (let length = 0; length < text.length; length++)
      assert.equal(request(text.slice(0, length)), INCOMPLETE, String(length));
    assert.equal(request(text), COMPLETE);
  });

  test("hop-by-hop headers and the mesh's own are cut out, all others kept in place", () => {
    const text = [
      "GET / HTTP/1.1",
      "Host: a",
      "Keep-Alive: 5",
      "A: 1",
      "Connection: keep-alive, X-Hop, content-length",
      "L5d-Client-Id: liar",
      "B: 2",
      "X-Hop: 3",
      "Proxy-Connection: x",
      "TE: trailers",
      "l5d-proxy-error: liar",
      "weft-not-delivered: 1",
      "Content-Length: 3",
      "",
      "",
    ].join("\r\n");
    const bytes = Buffer.from(text, "latin1");
    assert.equal(parseRequestHead(bytes, 0, bytes.length, head), COMPLETE);
    assert.equal(forwarded(text), "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nTE: trailers\r\nContent-Length: 3\r\n");
    assert.equal(head.close, false);
  });

  test("Upgrade counts only with Connection, and never to HTTP/2", () => {
    assert.equal(request("GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"), COMPLETE);
    assert.equal(head.upgrade, true);
    assert.equal(request("GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n"), COMPLETE);
    assert.equal(head.upgrade, false);
    const text =
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n\r\n";
    const bytes = Buffer.from(text, "latin1");
    assert.equal(parseRequestHead(bytes, 0, bytes.length, head), COMPLETE);
    assert.equal(head.upgrade, false);
    assert.equal(forwarded(text), "GET / HTTP/1.1\r\nhost: a\r\n");
  });

  test("whatever is accepted is forwarded as it was, lines cut out apart", () => {
    const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/);
    const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(token, value), { maxLength: 20 }), (fields) => {
        const lines = fields.map(([name, text]) => `${name}: ${text}`);
        const text = ["GET / HTTP/1.1", "host: a", ...lines, "", ""].join("\r\n");
        const bytes = Buffer.from(text, "latin1");
        if (parseRequestHead(bytes, 0, bytes.length, head) !== COMPLETE) return;
        const kept = forwarded(text).split("\r\n").slice(0, -1);
        const all = text.split("\r\n").slice(0, -2);
        let at = 0;
        for (const line of kept) {
          at = all.indexOf(line, at);
          assert.ok(at >= 0, line);
          at++;
        }
      }),
    );
  });
});

describe("response heads", () => {
  const cases: readonly (readonly [text: string, method: string, kind: string, close: boolean])[] = [
    ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "GET", "length", false],
    ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "GET", "none", false],
    ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "HEAD", "none", false],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "GET", "chunked", false],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HEAD", "none", false],
    ["HTTP/1.1 200 OK\r\n\r\n", "GET", "close", true],
    ["HTTP/1.1 200 OK\r\n\r\n", "HEAD", "none", false],
    ["HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", "GET", "length", true],
    ["HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\n", "GET", "length", false],
    ["HTTP/1.1 204 No Content\r\n\r\n", "GET", "none", false],
    ["HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", "GET", "none", false],
    ["HTTP/1.1 100 Continue\r\n\r\n", "POST", "none", false],
    ["HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "GET", "tunnel", false],
    ["HTTP/1.1 200 Connected\r\n\r\n", "CONNECT", "tunnel", false],
    ["HTTP/1.1 403 No\r\ncontent-length: 1\r\n\r\n", "CONNECT", "length", false],
    ["HTTP/1.1 200\r\ncontent-length: 1\r\nconnection: close\r\n\r\n", "GET", "length", true],
  ];
  for (const [text, method, kind, close] of cases) {
    test(`${JSON.stringify(text)} to ${method} has the body "${kind}"`, () => {
      assert.equal(response(text, method), COMPLETE);
      assert.deepEqual([head.bodyKind, head.close], [kind, close]);
    });
  }

  for (const text of [
    "HTTP/1.1 99 X\r\n\r\n",
    "HTTP/1.1 2000 X\r\n\r\n",
    "HTTP/1.1  200 X\r\n\r\n",
    "HTTP/1.1 20x X\r\n\r\n",
    "HTTP/2.0 200 X\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    "HTTP/1.1 200 OK\ncontent-length: 1\r\n\r\n",
  ]) {
    test(`${JSON.stringify(text)} is refused`, () => assert.equal(response(text), MALFORMED));
  }

  test("the peer's mark and wish are seen, and cut out", () => {
    const text =
      "HTTP/1.1 502 Bad Gateway\r\nweft-not-delivered: 1\r\nl5d-proxy-connection: close\r\ncontent-length: 0\r\n\r\n";
    assert.equal(response(text), COMPLETE);
    assert.deepEqual([head.notDelivered, head.proxyConnectionClose], [true, true]);
    assert.equal(forwarded(text), "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n");
  });
});
