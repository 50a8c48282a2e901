/** docs/proxy-errors.md is what people read, http/failure.ts what happens: they say the same. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Cause, grpcCode, Refusal, TREATMENTS } from "../../../../runtime/proxy/http/failure.ts";
import { refusalBytes } from "../../../../runtime/proxy/http1/refusal-bytes.ts";
import { refusalFields } from "../../../../runtime/proxy/http2/refusal-fields.ts";

const page = readFileSync(join(import.meta.dirname, "../../../../docs/proxy-errors.md"), "utf8");
const causes = Object.keys(TREATMENTS) as Cause[];

/** Cells of the rows that begin with a cause, of the table whose first row names `column`. */
function table(column: string): Map<string, string[]> {
  const lines = page.split("\n");
  const start = lines.findIndex((line) => line.startsWith("| cause") && line.includes(column));
  const rows = lines.slice(start + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return new Map(
    rows.slice(0, end < 0 ? undefined : end).map((line) => {
      const [cause = "", ...cells] = line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim());
      return [cause.replaceAll("`", ""), cells];
    }),
  );
}

describe("the page of the proxy's own answers", () => {
  const rows = table("HTTP");
  it("tells status, code, connection and labels of every cause", () => {
    assert.deepEqual([...rows.keys()].sort(), [...causes].sort());
    for (const cause of causes) {
      const [side = "", status = "", grpc = "", closes, error = "", stream = ""] = rows.get(cause) ?? [];
      const treatment = TREATMENTS[cause];
      assert.match(side, /^(in|out|both)$/);
      assert.equal(Number.parseInt(status, 10), treatment.status, cause);
      assert.equal(Number.parseInt(grpc, 10), grpcCode(new Refusal(cause, "")), cause);
      assert.equal(closes, treatment.close ? "yes" : "no", cause);
      assert.equal(error.replaceAll("`", ""), treatment.error ?? "", cause);
      assert.equal(stream.replaceAll("`", ""), treatment.stream ?? "", cause);
    }
  });

  it("says of every cause what happened and what to do", () => {
    const told = table("what happened");
    assert.deepEqual([...told.keys()].sort(), [...causes].sort());
    for (const [cause, [happened = "", next = ""]] of told) {
      assert.ok(happened.length > 20 && next.length > 10, cause);
    }
  });
});

describe("the proxy's own answers", () => {
  const peer = { meshed: true, informed: true };
  const stranger = { meshed: false, informed: false };
  const http1 = (refusal: Refusal, audience = peer, grpc = false): string =>
    refusalBytes(refusal, audience, { close: refusal.close, grpc }).toString("latin1");
  const http2 = (refusal: Refusal, audience = peer, grpc = false): Map<string, string> =>
    new Map(refusalFields(refusal, audience, grpc).map(({ name, value }) => [name, value]));

  it("are the same over both versions, for every cause", () => {
    for (const cause of causes) {
      const refusal = new Refusal(cause, "why it is so");
      const head = http1(refusal);
      const fields = http2(refusal);
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${refusal.status} [A-Z][A-Za-z ]+\\r\\n`), cause);
      assert.equal(fields.get(":status"), String(refusal.status));
      assert.equal(/\r\nconnection: close\r\n/.test(head), refusal.close, cause);
      assert.equal(/\r\nl5d-proxy-connection: close\r\n/.test(head), refusal.close, cause);
      assert.equal(fields.has("l5d-proxy-connection"), refusal.close, cause);
      assert.equal(fields.has("connection"), false);
      for (const name of ["l5d-proxy-error", "weft-not-delivered"]) {
        assert.equal(new RegExp(`\\r\\n${name}: `).test(head), fields.has(name), `${cause} ${name}`);
      }
      const grpc = http2(refusal, peer, true);
      assert.equal(grpc.get(":status"), "200");
      assert.equal(grpc.get("grpc-status"), String(grpcCode(refusal)));
      assert.equal(decodeURIComponent(grpc.get("grpc-message") ?? ""), "why it is so");
      assert.match(http1(refusal, peer, true), new RegExp(`\\r\\ngrpc-status: ${grpcCode(refusal)}\\r\\n`));
    }
  });

  it("tell strangers nothing but the status, and nobody anything that could be taken for more fields", () => {
    const refusal = new Refusal("refused", "one\r\nset-cookie: two", { undelivered: true });
    assert.doesNotMatch(http1(refusal, stranger), /l5d-|weft-|set-cookie/);
    assert.deepEqual(
      [...http2(refusal, stranger).keys()].filter((name) => /^(l5d|weft)-/.test(name)),
      [],
    );
    assert.doesNotMatch(http1(refusal), /\r\nset-cookie/);
    assert.doesNotMatch(http1(refusal, peer, true), /\r\nset-cookie/);
    assert.equal(http2(refusal).get("weft-not-delivered"), "1");
  });
});
