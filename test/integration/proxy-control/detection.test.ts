/** What a connection is taken for is the same however the network cuts its first bytes, on every side of a proxy. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { TRANSPORT_PROTOCOL } from "../../../runtime/proxy/tls/mesh-tls.ts";
import { direct } from "./support/direct.ts";
import { CLIENT, Cut, ENTRANCES, Entrances, writeCut } from "./support/entrances.ts";
import { Http2Bytes } from "./support/http2-bytes.ts";
import { until } from "./support/until.ts";

const REQUEST = Buffer.from("GET /healthz HTTP/1.1\r\nhost: web.shop\r\n\r\n");
const PIECES = [1, 5, 1_000];

describe("first bytes in pieces", () => {
  const entrances = new Entrances();
  const { world } = entrances;
  before(() => entrances.start());
  after(() => entrances.stop());

  const requests = (): number => world.sum("request_total");

  async function answerTo(socket: Socket, bytes: Buffer, pieceBytes: number): Promise<string> {
    socket.setNoDelay(true);
    const answered = once(socket, "data");
    await writeCut(socket, bytes, pieceBytes);
    return String((await answered)[0]);
  }

  for (const entrance of ENTRANCES) {
    for (const pieceBytes of PIECES) {
      it(`of HTTP/1 ${entrance}, ${pieceBytes} at a time`, async () => {
        const before = requests();
        const socket = await entrances.connect(entrance, world.ports["HTTP/1.1"]);
        assert.match(await answerTo(socket, REQUEST, pieceBytes), /^HTTP\/1\.1 200 /);
        assert.equal(requests(), before + 1);
        socket.destroy();
      });

      it(`of HTTP/2 ${entrance}, ${pieceBytes} at a time`, async () => {
        const before = requests();
        const socket = await entrances.connect(entrance, world.ports["HTTP/2"]);
        socket.setNoDelay(true);
        const http2 = new Http2Bytes(socket);
        const answer = http2.request({ ":path": "/healthz" });
        await writeCut(socket, http2.take(), pieceBytes);
        assert.equal((await answer).status, 200);
        assert.equal(requests(), before + 1);
        socket.destroy();
      });

      it(`of neither ${entrance}, ${pieceBytes} at a time: they go on as they came, at once`, async () => {
        const before = requests();
        const socket = await entrances.connect(entrance, world.ports.echo);
        const bytes = Buffer.from("EHLO mail.test\r\n");
        let heard = "";
        socket.on("data", (chunk: Buffer) => {
          heard += chunk.toString("latin1");
        });
        socket.setNoDelay(true);
        await writeCut(socket, bytes, pieceBytes);
        await until("all came back", () => heard.length >= bytes.length);
        assert.equal(heard, bytes.toString());
        assert.equal(requests(), before);
        socket.destroy();
      });
    }
  }

  for (const pieceBytes of [1, 100]) {
    it(`of the mesh's TLS, ${pieceBytes} at a time`, async () => {
      const socket = await entrances.connect(
        "inbound meshed",
        world.ports["HTTP/1.1"],
        (under) => new Cut(under, pieceBytes),
      );
      assert.match(await answerTo(socket, REQUEST, 1_000), /^HTTP\/1\.1 200 /);
      socket.destroy();
    });

    it(`of a transport header, ${pieceBytes} at a time`, async () => {
      const socket = await world.connect(undefined, CLIENT, TRANSPORT_PROTOCOL);
      const bytes = Buffer.concat([direct(world.ports["HTTP/1.1"], "", "http1"), REQUEST]);
      assert.match(await answerTo(socket, bytes, pieceBytes), /^HTTP\/1\.1 200 /);
      socket.destroy();
    });

    for (const entrance of ["inbound plain", "outbound"] as const) {
      it(`of an application's own TLS ${entrance}, ${pieceBytes} at a time`, async () => {
        const named = (): number => world.sum("tcp_open_total", 'tls="opaque"', 'sni="web.test"', 'peer="src"');
        const before = named();
        const connection = await entrances.connect(entrance, world.ports.echo);
        const tls = connectTls({ socket: new Cut(connection, pieceBytes), servername: "web.test" });
        // The echo is no TLS server: that its hello comes back shows that it went through.
        const [error] = await once(tls, "error");
        assert.match(String(error), /unexpected|wrong|EPROTO|alert/i);
        assert.equal(named(), before + 1);
        connection.destroy();
      });
    }
  }
});
