/** What a request's fields may not be (RFC 9113, 8.2 and 8.3), beyond h2spec: each could become another request on an HTTP/1 connection (10.3). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { errorCode, flag, frameType } from "../../../../runtime/wire/http2/protocol.ts";
import { block, END, frame, Server } from "./support.ts";

type Field = readonly [name: string, value: string];

/** A GET with `changes`: pseudo-fields replace those of their names, an undefined one goes. */
function request(changes: Readonly<Record<string, string | undefined>>, more: readonly Field[] = []): Buffer {
  const pseudo = { ":method": "GET", ":scheme": "http", ":authority": "web", ":path": "/", ...changes };
  const fields = Object.entries(pseudo).filter((field): field is [string, string] => field[1] !== undefined);
  return block(...fields, ...more.map(([name, value]): [string, string] => [name, value]));
}

const SMUGGLED = "GET /admin HTTP/1.1";

describe("a request is taken (8.3.1)", () => {
  for (const [name, payload] of Object.entries({
    "with any method that is a token": request({ ":method": "M-SEARCH" }),
    "OPTIONS of the whole server": request({ ":method": "OPTIONS", ":path": "*" }),
    "with a query, and octets beyond ASCII": request({ ":path": "/a?b=/c?d&e=@:\u00e4" }),
    "without an authority": request({ ":authority": undefined }),
    "with an empty authority": request({ ":authority": "" }),
    "with an address and a port": request({ ":authority": "[fd00::1]:8080" }),
    CONNECT: request({ ":method": "CONNECT", ":authority": "web:443", ":scheme": undefined, ":path": undefined }),
    "with TE: trailers (8.2.2)": request({}, [["te", "trailers"]]),
    "with a tab within a value, and octets beyond ASCII (8.2.1)": request({}, [["a", "b\tc\u00ff"]]),
    "with an empty value": request({}, [["a", ""]]),
    "with a Host that is its authority (8.3.1)": request({ ":authority": "Web:80" }, [["host", "web:80"]]),
    "with a Host instead of an authority": request({ ":authority": undefined }, [["host", "web"]]),
    "with a cookie in pieces (8.2.3)": request({}, [
      ["cookie", "a=b"],
      ["cookie", "c=d"],
    ]),
  })) {
    test(name, () => {
      const server = new Server();
      server.receive(frame(frameType.headers, END, 1, payload));
      assert.equal(server.requests.length, 1);
    });
  }
});

describe("a request is malformed (8.1.1)", () => {
  for (const [name, payload] of Object.entries({
    "with a Host that contradicts its authority (8.3.1)": request({}, [["host", "other"]]),
    "with two Hosts": request({}, [
      ["host", "web"],
      ["host", "web"],
    ]),
    "with a request line as its method (8.3.1)": request({ ":method": SMUGGLED }),
    "with an empty method": request({ ":method": "" }),
    "with a tab in its method": request({ ":method": "GET\t/" }),
    "with a request line in its path (8.3.1)": request({ ":path": "/ HTTP/1.1" }),
    "with a line end in its path (8.2.1)": request({ ":path": "/\r\nx: y" }),
    "with a control character in its path": request({ ":path": "/\x01" }),
    "with DEL in its path": request({ ":path": "/\x7f" }),
    "with an absolute target as its path (8.3.1)": request({ ":path": "http://other/" }),
    "with a path that does not begin with a slash": request({ ":path": "admin" }),
    "with an asterisk and another method than OPTIONS": request({ ":path": "*" }),
    "with an asterisk and more": request({ ":method": "OPTIONS", ":path": "*/admin" }),
    "with a fragment of a request in its scheme (8.3.1)": request({ ":scheme": "http://other/?" }),
    "with an empty scheme": request({ ":scheme": "" }),
    "with userinfo in its authority (8.3.1)": request({ ":authority": "user@web" }),
    "with a path in its authority": request({ ":authority": "web/admin" }),
    "with a blank in its authority": request({ ":authority": "web other" }),
    "with a backslash in its authority": request({ ":authority": "web\\other" }),
    "two authorities (8.3.1)": request({}, [[":authority", "web"]]),
    "CONNECT without an authority (8.5)": request({
      ":method": "CONNECT",
      ":authority": undefined,
      ":scheme": undefined,
      ":path": undefined,
    }),
    "CONNECT with an empty authority (8.5)": request({
      ":method": "CONNECT",
      ":authority": "",
      ":scheme": undefined,
      ":path": undefined,
    }),
    "CONNECT with a path (8.5)": request({ ":method": "CONNECT", ":scheme": undefined }),
    "with a line end in a value (8.2.1)": request({}, [["a", `b\r\n\r\n${SMUGGLED}`]]),
    "with a bare LF in a value (8.2.1)": request({}, [["a", "b\nc: d"]]),
    "with a bare CR in a value (8.2.1)": request({}, [["a", "b\rc: d"]]),
    "with NUL in a value (8.2.1)": request({}, [["a", "b\0"]]),
    "with a blank before a value (8.2.1)": request({}, [["a", " b"]]),
    "with a tab after a value (8.2.1)": request({}, [["a", "b\t"]]),
    "with a line end in a name (8.2.1)": request({}, [["a: b\r\nc", "d"]]),
    "with a colon in a name (8.2.1)": request({}, [["transfer-encoding:", "chunked"]]),
    "with a blank in a name (8.2.1)": request({}, [["transfer-encoding ", "chunked"]]),
    "with an octet beyond ASCII in a name (8.2.1)": request({}, [["a\u00e4", "b"]]),
    "with Transfer-Encoding (8.2.2)": request({}, [["transfer-encoding", "chunked"]]),
    "with Keep-Alive (8.2.2)": request({}, [["keep-alive", "1"]]),
    "with Proxy-Connection (8.2.2)": request({}, [["proxy-connection", "close"]]),
    "with Upgrade (8.2.2)": request({}, [["upgrade", "h2c"]]),
  })) {
    test(name, () => {
      const server = new Server();
      server.receive(frame(frameType.headers, END, 1, payload));
      assert.equal(server.requests.length, 0);
      assert.equal(server.sent.lines.at(-1), `reset 1 ${errorCode.protocolError}`);
      server.receive(frame(frameType.headers, END, 3, request({})));
      assert.equal(server.requests.length, 1, "the connection goes on");
    });
  }

  test("with two lengths that differ (8.1.1)", () => {
    const server = new Server();
    const fields = request({}, [
      ["content-length", "1"],
      ["content-length", "2"],
    ]);
    server.receive(frame(frameType.headers, flag.endHeaders, 1, fields));
    assert.equal(server.sent.lines.at(-1), `reset 1 ${errorCode.protocolError}`);
  });
});
