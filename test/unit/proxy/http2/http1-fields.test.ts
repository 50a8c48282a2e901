/** Heads of HTTP/1 as fields of HTTP/2: what is said, and what enters tables. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Head } from "../../../../runtime/proxy/http1/head.ts";
import { COMPLETE, parseRequestHead, parseResponseHead } from "../../../../runtime/proxy/http1/parse-head.ts";
import { requestFields, responseFields, trailerFields } from "../../../../runtime/proxy/http2/http1-fields.ts";
import { type HeaderField, INDEXED, LITERAL, NEVER_INDEXED } from "../../../../runtime/wire/hpack/field.ts";

/** Lies somewhere within a buffer, as heads do. */
function within(text: string): { bytes: Buffer; start: number } {
  return { bytes: Buffer.from(`garbage${text}garbage`, "latin1"), start: 7 };
}

function ofRequest(text: string): readonly HeaderField[] {
  const head = new Head();
  const { bytes, start } = within(text);
  assert.equal(parseRequestHead(bytes, start, start + text.length, head), COMPLETE);
  return requestFields(bytes, start, start + text.length, head);
}

function ofResponse(text: string): readonly HeaderField[] {
  const head = new Head();
  const { bytes, start } = within(text);
  assert.equal(parseResponseHead(bytes, start, start + text.length, "GET", head), COMPLETE);
  return responseFields(bytes, start, head);
}

const pairs = (fields: readonly HeaderField[]): string[] => fields.map(({ name, value }) => `${name}: ${value}`);
const indexing = (fields: readonly HeaderField[], name: string): number | undefined =>
  fields.find((field) => field.name === name)?.indexing;

describe("heads of HTTP/1 as fields", () => {
  test("Host is the authority and stays a field in its place: Linkerd's proxy makes none of an authority", () => {
    const text = "POST /a?b HTTP/1.1\r\nX-One:  1 \r\nHost: Web:80\r\nx-one: 2\r\nContent-Length: 2\r\n\r\n";
    const expected = [
      ":method: POST",
      ":scheme: http",
      ":path: /a?b",
      ":authority: Web:80",
      "x-one: 1",
      "host: Web:80",
      "x-one: 2",
      "content-length: 2",
      "l5d-orig-proto: HTTP/1.1",
    ];
    for (let time = 0; time < 4; time++) assert.deepEqual(pairs(ofRequest(text)), expected);
  });

  test("the forms of a target", () => {
    const forms: readonly (readonly [request: string, fields: readonly string[]])[] = [
      ["OPTIONS * HTTP/1.1", [":scheme: http", ":path: *", ":authority: h", "l5d-orig-proto: HTTP/1.1"]],
      ["GET http://a HTTP/1.1", [":path: /", ":authority: a", "host: a", "l5d-orig-proto: HTTP/1.1; absolute-form"]],
      ["OPTIONS http://a HTTP/1.0", [":path: *", ":authority: a", "l5d-orig-proto: HTTP/1.0; absolute-form"]],
      ["GET https://u:p@a:1?q HTTP/1.1", [":scheme: https", ":path: /?q", ":authority: a:1", "host: a:1"]],
    ];
    for (const [line, wanted] of forms) {
      const said = pairs(ofRequest(`${line}\r\nhost: h\r\n\r\n`));
      for (const field of wanted) assert.ok(said.includes(field), `${line}: ${said.join(", ")}`);
    }
  });

  test("a Host that is no authority is a field only", () => {
    for (const host of ["", "a b", "a/b", "u@h"]) {
      const said = pairs(ofRequest(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`));
      assert.deepEqual(said.slice(2), [":path: /", `host: ${host}`, "l5d-orig-proto: HTTP/1.1"]);
    }
  });

  test("what belongs to one connection, and what the application has no right to say, is left out", () => {
    const text =
      "GET / HTTP/1.1\r\nhost: a\r\nte: Trailers\r\nl5d-orig-proto: HTTP/1.0\r\nupgrade: h2c\r\nx: y\r\n\r\n";
    assert.deepEqual(pairs(ofRequest(text)).slice(4), ["host: a", "te: trailers", "x: y", "l5d-orig-proto: HTTP/1.1"]);
    const response = "HTTP/1.0 200 OK\r\nUpgrade: x\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nB: c\r\n\r\n";
    assert.deepEqual(pairs(ofResponse(response)), [":status: 200", "b: c", "l5d-orig-proto: HTTP/1.0"]);
  });

  test("a line enters tables from its second sight on; what seldom comes again, and secrets, never", () => {
    const request = (token: string): readonly HeaderField[] =>
      ofRequest(`GET /${token} HTTP/1.1\r\nhost: a\r\nx-kind: seen-twice\r\nCookie: c=1\r\nif-none-match: "e"\r\n\r\n`);
    assert.equal(indexing(request("one"), "x-kind"), LITERAL);
    for (const token of ["two", "three", "four"]) {
      const fields = request(token);
      assert.equal(indexing(fields, "x-kind"), INDEXED);
      assert.equal(indexing(fields, ":path"), LITERAL);
      assert.equal(indexing(fields, "cookie"), NEVER_INDEXED);
      assert.equal(indexing(fields, "if-none-match"), LITERAL);
    }
  });

  test("heads that differ anywhere are told apart, however often they come", () => {
    const base = `GET /a HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(200)}\r\n\r\n`;
    const at = base.indexOf("yyy");
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < 200; index++) {
        const text = `${base.slice(0, at + index)}z${base.slice(at + index + 1)}`;
        assert.equal(
          ofRequest(text)
            .find(({ name }) => name === "x")
            ?.value.indexOf("z"),
          index,
        );
      }
    }
  });

  test("of trailers, what would change the message or is no field is dropped", () => {
    const lines = Buffer.from("X-Sum: 1\r\ncontent-length: 3\r\nnonsense\r\nTransfer-Encoding: x\r\n bad: y\r\nz:\r\n");
    assert.deepEqual(pairs(trailerFields(lines, 0, lines.length)), ["x-sum: 1", "z: "]);
  });
});
