/** The transport header, to the byte (reference 5.6). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeTransportHeader, encodeTransportHeader } from "../../../../runtime/proxy/tls/transport-header.ts";

describe("transport header", () => {
  test("is what Linkerd's proxies write", () => {
    assert.equal(
      encodeTransportHeader({ port: 5432 }).toString("latin1"),
      "transport.l5d.io/v1\r\n\r\n\0\0\0\x03\x08\xb8\x2a",
    );
    assert.equal(
      encodeTransportHeader({ port: 80, protocol: "http1" }).toString("latin1"),
      "transport.l5d.io/v1\r\n\r\n\0\0\0\x06\x08\x50\x1a\x02\x0a\x00",
    );
    assert.equal(
      encodeTransportHeader({ port: 80, protocol: "http2" }).toString("latin1"),
      "transport.l5d.io/v1\r\n\r\n\0\0\0\x06\x08\x50\x1a\x02\x12\x00",
    );
  });

  test("is read back, with what follows left alone; every prefix is incomplete", () => {
    for (const protocol of [undefined, "http1", "http2"] as const) {
      const bytes = encodeTransportHeader({ port: 65_535, protocol });
      const decoded = decodeTransportHeader(Buffer.concat([bytes, Buffer.from("GET /")]));
      assert.deepEqual(decoded, { header: { port: 65_535, name: "", protocol }, end: bytes.length });
      for (let length = 0; length < bytes.length; length++)
        assert.equal(decodeTransportHeader(bytes.subarray(0, length)), "incomplete");
    }
  });

  test("anything else is malformed at once", () => {
    const good = encodeTransportHeader({ port: 80 });
    const noPort = Buffer.from("transport.l5d.io/v1\r\n\r\n\0\0\0\0", "latin1");
    const huge = Buffer.from("transport.l5d.io/v1\r\n\r\n\x7f\0\0\0", "latin1");
    const negative = Buffer.from(
      "transport.l5d.io/v1\r\n\r\n\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
      "latin1",
    );
    const cut = Buffer.from("transport.l5d.io/v1\r\n\r\n\0\0\0\x01\x08", "latin1");
    for (const bytes of [Buffer.from("G"), Buffer.from("transport.l5d.io/v2"), noPort, huge, negative, cut]) {
      assert.equal(decodeTransportHeader(bytes), "malformed");
    }
    assert.notEqual(decodeTransportHeader(good), "malformed");
  });
});
