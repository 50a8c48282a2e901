import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { createLog } from "../../../runtime/controller/config/log.ts";
import { Front } from "../../../runtime/controller/front/front.ts";
import { Metrics } from "../../../runtime/controller/front/metrics.ts";
import { readServerName } from "../../../runtime/controller/front/server-name.ts";

const log = createLog("test", "error", () => {});
const TIMEOUT = { timeout: 10_000 };

/** The first bytes that node's (OpenSSL's) own client sends. */
async function clientHello(servername: string | undefined): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = tlsConnect({ host: "127.0.0.1", port, ...(servername === undefined ? {} : { servername }) });
  client.on("error", () => {});
  const [socket] = (await once(server, "connection")) as [Socket];
  const [bytes] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** The same message in records of `size` bytes. */
function fragmented(hello: Buffer, size: number): Buffer {
  const body = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    const header = Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]);
    records.push(header, part);
  }
  return Buffer.concat(records);
}

describe("the name in a ClientHello", () => {
  it("is found however the bytes arrive", async () => {
    const hello = await clientHello("weft-viz.weft.svc");
    for (let length = 0; length < hello.length; length++) {
      assert.equal(readServerName(hello.subarray(0, length)).kind, "more", `${length} bytes`);
    }
    const expected = { kind: "name", name: "weft-viz.weft.svc" };
    assert.deepEqual(readServerName(hello), expected);
    assert.deepEqual(readServerName(Buffer.concat([hello, Buffer.from("more")])), expected);
    for (const size of [1, 3, 100]) assert.deepEqual(readServerName(fragmented(hello, size)), expected);
  });
  it("may be missing", async () => {
    assert.deepEqual(readServerName(await clientHello(undefined)), { kind: "name", name: undefined });
  });
  it("is not looked for in anything else", async () => {
    assert.equal(readServerName(Buffer.from("GET / HTTP/1.1\r\n\r\n")).kind, "invalid");
    assert.equal(readServerName(Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])).kind, "invalid");
    assert.equal(readServerName(Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255])).kind, "invalid");
    const hello = await clientHello("weft-viz.weft.svc");
    // A length that points past the end of the message.
    hello[5 + 4 + 34] = 255;
    assert.equal(readServerName(hello).kind, "invalid");
  });
});

describe("the front", () => {
  const closing: (() => unknown)[] = [];
  after(() => {
    for (const close of closing) close();
  });

  async function start(vizServer: Server): Promise<{ port: number; webhooks: Socket[]; front: Front }> {
    vizServer.listen(0, "127.0.0.1");
    await once(vizServer, "listening");
    const webhooks: Socket[] = [];
    const front = new Front({
      port: 0,
      host: "127.0.0.1",
      vizNames: ["weft-viz.weft.svc"],
      viz: { host: "127.0.0.1", port: (vizServer.address() as AddressInfo).port },
      webhook: (socket) => webhooks.push(socket),
      log,
    });
    const port = await front.listen();
    closing.push(
      () => vizServer.close(),
      () => front.drain(0),
    );
    return { port, webhooks, front };
  }

  it("passes viz's connections on as bytes, big bodies both ways and half-close included", TIMEOUT, async () => {
    const size = 8 * 1024 * 1024;
    const hello = await clientHello("weft-viz.weft.svc");
    const viz = createServer({ allowHalfOpen: true }, (socket) => {
      let received = 0;
      socket.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      // Answers only after the client has ended: nothing comes back if the end is lost, or ends both sides.
      socket.on("end", () => {
        socket.write(`${received} `);
        socket.end(Buffer.alloc(size));
      });
    });
    const { port } = await start(viz);
    const client = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    client.write(hello);
    client.end(Buffer.alloc(size));
    const chunks: Buffer[] = [];
    for await (const chunk of client) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks);
    const expected = `${size + hello.length} `;
    assert.equal(answer.subarray(0, expected.length).toString(), expected);
    assert.equal(answer.length, expected.length + size);
  });

  it("stops reading from a client that viz does not read from", TIMEOUT, async () => {
    const { port } = await start(createServer((socket) => socket.pause()));
    const hello = await clientHello("weft-viz.weft.svc");
    const client = connect(port, "127.0.0.1");
    await once(client, "connect");
    client.write(hello);
    let written = 0;
    const chunk = Buffer.alloc(1024 * 1024);
    // Kernel and stream buffers take some megabytes; after that nothing may move.
    while (client.write(chunk) || (await Promise.race([once(client, "drain").then(() => true), wait(300)]))) {
      written += chunk.length;
      if (written > 256 * 1024 * 1024) break;
    }
    assert.ok(written < 64 * 1024 * 1024, `${written} bytes went through`);
    client.destroy();
  });

  it("gives everything else to the webhook, its first bytes unread; closes what is no TLS", TIMEOUT, async () => {
    const { port, webhooks } = await start(createServer());
    const hello = await clientHello("weft-injector.weft.svc");
    const client = connect(port, "127.0.0.1");
    client.write(hello.subarray(0, 20));
    await wait(20);
    client.write(hello.subarray(20));
    while (webhooks.length === 0) await wait(5);
    const [socket] = webhooks;
    socket?.resume();
    const [bytes] = (await once(socket as Socket, "data")) as [Buffer];
    assert.deepEqual(bytes, hello);
    client.destroy();

    const plain = connect(port, "127.0.0.1");
    plain.write("GET / HTTP/1.1\r\n\r\n");
    await once(plain, "close");
    assert.equal(webhooks.length, 1);
  });

  it("takes a connection that names nobody for viz's", TIMEOUT, async () => {
    const viz = createServer();
    const { port, webhooks } = await start(viz);
    const arrived = once(viz, "connection") as Promise<[Socket]>;
    const client = connect(port, "127.0.0.1");
    const hello = await clientHello(undefined);
    client.write(hello);
    const [socket] = await arrived;
    const [bytes] = (await once(socket, "data")) as [Buffer];
    assert.deepEqual(bytes, hello);
    assert.equal(webhooks.length, 0);
    client.destroy();
  });

  it("closes a connection for viz when viz is not there", TIMEOUT, async () => {
    const viz = createServer();
    const { port } = await start(viz);
    viz.close();
    await once(viz, "close");
    const client = connect(port, "127.0.0.1");
    client.write(await clientHello("weft-viz.weft.svc"));
    client.on("error", () => {});
    await once(client, "close");
  });
});

describe("metrics", () => {
  it("are exposition text, a family's head once", () => {
    const metrics = new Metrics();
    const counter = metrics.counter("a_total", "Help.");
    counter.add({ x: 'quote " and \\ and\nline' });
    counter.add({ x: 'quote " and \\ and\nline' }, 2);
    metrics.gauges("b", "Help.", () => [
      [{ server: "one" }, 1],
      [{ server: "two" }, 2],
    ]);
    assert.equal(
      metrics.text(),
      [
        "# HELP a_total Help.",
        "# TYPE a_total counter",
        'a_total{x="quote \\" and \\\\ and\\nline"} 3',
        "# HELP b Help.",
        "# TYPE b gauge",
        'b{server="one"} 1',
        'b{server="two"} 2',
        "",
      ].join("\n"),
    );
  });
});

function wait(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}
