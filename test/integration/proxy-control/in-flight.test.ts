/** However an exchange ends, it is no longer under way: INBOUND_MAX_IN_FLIGHT of 1 lets the next request pass. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { InboundWorld, requesterOn, type Version } from "./support/inbound-world.ts";
import { defaultServer, everyone } from "./support/messages.ts";

const VERSIONS: readonly Version[] = ["HTTP/1.1", "HTTP/2"];

type Ending = (world: InboundWorld, version: Version, port: number) => Promise<void>;

/** Lets the proxy see what was sent. */
const A_WHILE_MS = 60;

async function raw(world: InboundWorld, port: number, text: string): Promise<Socket> {
  const socket = await world.connect(port);
  socket.write(text);
  await sleep(A_WHILE_MS);
  return socket;
}

const ENDINGS: Readonly<Record<string, Ending>> = {
  "a whole answer": async (world, version, port) => {
    const client = await world.requester(version, port);
    assert.equal((await client.ask("/")).status, 200);
  },
  "a client that leaves before the answer": async (world, version, port) => {
    const socket = await world.connect(port);
    requesterOn(version, socket)
      .ask("/slow")
      .catch(() => undefined);
    await sleep(A_WHILE_MS);
    // A mere end could be a half-close, whose answer is waited for.
    socket.resetAndDestroy();
  },
  "a server that closes without an answer": async (world, version, port) => {
    const client = await world.requester(version, port);
    await client.ask("/die").then(
      ({ status }) => assert.equal(status, 502),
      () => undefined,
    );
  },
  "a server that breaks off its answer": async (world, version, port) => {
    const client = await world.requester(version, port);
    await assert.rejects(client.ask("/half"));
  },
  "a server that is not there": async (world, version) => {
    const nobody = createServer();
    nobody.listen(0, "127.0.0.1");
    await once(nobody, "listening");
    const { port } = nobody.address() as AddressInfo;
    await new Promise((resolve) => nobody.close(resolve));
    await world.setPolicy(port, defaultServer("open", [everyone("open")]));
    const client = await world.requester(version, port);
    assert.equal((await client.ask("/")).status, 502);
  },
  "half of a request's body": async (world, version, port) => {
    if (version === "HTTP/1.1") {
      const socket = await raw(world, port, "POST /slow HTTP/1.1\r\nhost: web\r\ncontent-length: 100\r\n\r\nhalf");
      socket.destroy();
      return;
    }
    const socket = await world.connect(port);
    const session = connectHttp2("http://web", { createConnection: () => socket });
    session.on("error", () => undefined);
    const stream = session.request({ ":path": "/slow", ":method": "POST" });
    stream.on("error", () => undefined);
    stream.write("half");
    await sleep(A_WHILE_MS);
    stream.close(8);
    await sleep(A_WHILE_MS);
    session.destroy();
  },
};

for (const version of VERSIONS) {
  describe(`requests under way over ${version}`, () => {
    for (const [name, end] of Object.entries(ENDINGS)) {
      it(`are one fewer after ${name}`, async () => {
        const world = new InboundWorld();
        try {
          await world.start({ maxInFlight: 1 });
          const port = world.ports[version];
          await world.setPolicy(port, defaultServer("open", [everyone("open")]));
          for (let round = 0; round < 2; round++) {
            await end(world, version, port);
            await sleep(A_WHILE_MS);
            const next = await world.requester(version, port);
            assert.equal((await next.ask("/")).status, 200);
          }
          assert.equal(world.sum("inbound_http_errors_total", 'error="loadshed"'), 0);
        } finally {
          world.stop();
        }
      });
    }
  });
}

describe("requests under way", () => {
  it("are one fewer once a tunnel is open, and after a body that is no chunked coding", async () => {
    const world = new InboundWorld();
    try {
      await world.start({ maxInFlight: 1 });
      const port = world.ports["HTTP/1.1"];
      await world.setPolicy(port, defaultServer("open", [everyone("open")]));
      const upgrade = "GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
      const tunnel = await world.connect(port);
      tunnel.write(upgrade);
      assert.match(String((await once(tunnel, "data"))[0]), / 101 /);
      const chunked = "POST /slow HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
      const malformed = await raw(world, port, chunked);
      malformed.write("nonsense\r\n");
      assert.match(String((await once(malformed, "data"))[0]), / 400 /);
      const next = await world.requester("HTTP/1.1", port);
      assert.equal((await next.ask("/")).status, 200);
      tunnel.write("still");
      assert.equal(String((await once(tunnel, "data"))[0]), "still");
    } finally {
      world.stop();
    }
  });
});
