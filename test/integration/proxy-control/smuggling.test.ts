/** Requests that two parsers may read differently are refused by the proxy, wherever they enter it: no application hears of them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { flag, frameType, PREFACE } from "../../../runtime/wire/http2/protocol.ts";
import { MALFORMED_HEADS } from "../../unit/proxy/http1/malformed-heads.ts";
import { block, END, frame, SETTINGS } from "../../unit/wire/http2/support.ts";
import { ENTRANCES, Entrances } from "./support/entrances.ts";
import { RawHttp2 } from "./support/raw-http2.ts";

/** Comes first: what its port detects is HTTP/1 then, whatever follows. */
const GOOD = "GET /healthz HTTP/1.1\r\nhost: web.shop\r\n\r\n";
const CHUNKED = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
/** Bodies whose end two parsers may see elsewhere (RFC 9112, 7.1). */
const MALFORMED_BODIES: Readonly<Record<string, string>> = {
  "a size that is none": `${CHUNKED}xyz\r\n\r\n`,
  "a size with a sign": `${CHUNKED}+1\r\na\r\n0\r\n\r\n`,
  "a size in hex notation": `${CHUNKED}0x1\r\na\r\n0\r\n\r\n`,
  "a size past all doubles": `${CHUNKED}fffffffffffffffff\r\na`,
  "a bare LF after a size": `${CHUNKED}1\na\r\n0\r\n\r\n`,
  "a bare LF after a chunk": `${CHUNKED}1\r\na\n0\r\n\r\n`,
  "a chunk longer than its size": `${CHUNKED}1\r\nab\r\n0\r\n\r\n`,
  "a bare LF after the last chunk": `${CHUNKED}0\r\n\n`,
};

type Fields = [name: string, value: string][];

const GET: Fields = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "web.shop"],
];
/** Heads of HTTP/2 that would be other messages in HTTP/1 (RFC 9113, 8.2 and 8.3). */
const MALFORMED_FIELDS: Readonly<Record<string, Fields>> = {
  "a transfer coding": [...GET, ["transfer-encoding", "chunked"]],
  "a connection's own field": [...GET, ["connection", "close"]],
  "an upgrade": [...GET, ["upgrade", "h2c"]],
  "a line in a value": [...GET, ["x", "a\r\ncontent-length: 5"]],
  "a bare LF in a value": [...GET, ["x", "a\nb: c"]],
  "a NUL in a value": [...GET, ["x", "a\0"]],
  "a line in a name": [...GET, ["x: a\r\ny", "b"]],
  "a colon in a name": [...GET, ["x:y", "b"]],
  "capital letters in a name": [...GET, ["X", "b"]],
  "a space in a path": [...GET.filter(([name]) => name !== ":path"), [":path", "/ HTTP/1.1\r\nx: y"]],
  "a space in a method": [...GET.filter(([name]) => name !== ":method"), [":method", "GET /admin"]],
  "two lengths": [...GET, ["content-length", "1"], ["content-length", "2"]],
  "a length that its body has not": [...GET, ["content-length", "5"]],
  "two paths": [...GET, [":path", "/admin"]],
  "a pseudo-field at the end": [["x", "y"], ...GET],
};

describe("requests that smuggle", () => {
  const entrances = new Entrances();
  const { world } = entrances;
  before(() => entrances.start());
  after(() => entrances.stop());

  const sent = (): number => world.sum("request_total");

  async function all(socket: Socket): Promise<string> {
    let text = "";
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
    });
    await once(socket, "close");
    return text;
  }

  for (const entrance of ENTRANCES) {
    it(`over HTTP/1 ${entrance}: 400, and the end of the connection`, async () => {
      for (const [name, text] of Object.entries({ ...MALFORMED_HEADS, ...MALFORMED_BODIES })) {
        const before = sent();
        const socket = await entrances.connect(entrance, world.ports["HTTP/1.1"]);
        socket.write(GOOD + text);
        const answers = (await all(socket)).match(/HTTP\/1\.1 \d+/g);
        assert.deepEqual(answers, ["HTTP/1.1 200", "HTTP/1.1 400"], name);
        // A chunk's mistake may come when the request is on its way, and is broken off then.
        const most = name in MALFORMED_BODIES ? 2 : 1;
        assert.ok(sent() - before <= most, `${name}: ${sent() - before} requests went on`);
      }
    });

    it(`over HTTP/2 ${entrance}: the stream ends, and the connection goes on`, async () => {
      for (const [name, fields] of Object.entries(MALFORMED_FIELDS)) {
        const before = sent();
        const socket = await entrances.connect(entrance, world.ports["HTTP/2"]);
        const http2 = new RawHttp2(socket);
        socket.write(Buffer.concat([PREFACE, SETTINGS, frame(frameType.headers, END, 1, block(...fields))]));
        await http2.until(/^reset 1 1$/);
        assert.equal(sent(), before, name);
        socket.write(frame(frameType.headers, END, 3, block(...GET)));
        await http2.until(/^headers 3 /);
        socket.destroy();
      }
    });

    it(`over HTTP/2 ${entrance}: a body that is longer than it says`, async () => {
      const socket = await entrances.connect(entrance, world.ports["HTTP/2"]);
      const http2 = new RawHttp2(socket);
      const head = block([":method", "POST"], ...GET.slice(1), ["content-length", "2"]);
      socket.write(
        Buffer.concat([
          PREFACE,
          SETTINGS,
          frame(frameType.headers, flag.endHeaders, 1, head),
          frame(frameType.data, flag.endStream, 1, Buffer.from("GET /admin")),
        ]),
      );
      await http2.until(/^reset 1 1$/);
      socket.destroy();
    });
  }
});
