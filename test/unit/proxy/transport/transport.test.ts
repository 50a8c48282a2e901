/** What the data plane asks of a transport, of both. */
import assert from "node:assert/strict";
import { connect as netConnect } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { composeBuffer } from "../../../../runtime/proxy/transport/handle-stream.ts";
import { ConnectError, nobody } from "../../../../runtime/proxy/transport/stream.ts";
import { listen, pair, RecordingOwner, send, TRANSPORTS } from "./support.ts";

test("this Node has the fast transport", () => {
  assert.deepEqual(
    TRANSPORTS.map(({ name }) => name),
    ["handles", "sockets"],
  );
});

for (const transport of TRANSPORTS) {
  describe(`transport over ${transport.name}`, () => {
    test("bytes go both ways, and a written buffer may be used again at once", async () => {
      const { client, server, clientStream, serverStream } = await pair(transport);
      const buffer = Buffer.from("first");
      clientStream.write(buffer, 0, buffer.length);
      buffer.write("XXXXX");
      await server.until((owner) => owner.text === "first");
      send(serverStream, "--second--");
      await client.until((owner) => owner.text.length === 10);
      serverStream.write(Buffer.from("--third--"), 2, 7);
      await client.until((owner) => owner.text === "--second--third");
      clientStream.close();
      assert.equal(client.errno, "");
    });

    test("addresses are told, of IPv4 in a dual-stack socket too", async () => {
      const { address, accept } = await listen(transport);
      const owner = new RecordingOwner();
      const [accepted, stream] = await Promise.all([accept(), transport.connect(address, 1_000, owner)]);
      assert.equal(accepted.remote.ip, "127.0.0.1");
      assert.deepEqual(accepted.local, address);
      assert.equal(accepted.original, undefined);
      accepted.open(nobody).close();
      await owner.until(({ ended, errno }) => ended || errno !== undefined);
      stream.close();
    });

    test("half-close: the other direction goes on, and both ended is closed", async () => {
      const { client, server, clientStream, serverStream } = await pair(transport);
      send(clientStream, "question");
      clientStream.end();
      await server.until((owner) => owner.ended);
      assert.equal(server.text, "question");
      await sleep(20);
      send(serverStream, "answer");
      serverStream.end();
      await Promise.all([client.until((owner) => owner.errno === ""), server.until((owner) => owner.errno === "")]);
      assert.equal(client.text, "answer");
      assert.equal(client.ended, true);
      assert.equal(client.late + server.late, 0);
    });

    test("a slow reader holds the writer back, nothing is lost, end comes last", async () => {
      const { client, clientStream, serverStream, server } = await pair(transport);
      clientStream.pause();
      const chunk = Buffer.alloc(65_536);
      let written = 0;
      let flows = true;
      while (flows && written < 64_000_000) {
        chunk.fill(written / chunk.length);
        flows = serverStream.write(chunk, 0, chunk.length);
        written += chunk.length;
      }
      assert.equal(flows, false);
      assert.equal(serverStream.unsent, true);
      // Ordered behind what waits, from the compose buffer as well.
      const composed = composeBuffer();
      composed.write("tail");
      serverStream.write(composed, 0, 4);
      composeBuffer().write("XXXX");
      clientStream.resume();
      await server.until((owner) => owner.drains === 1);
      serverStream.end();
      await client.until((owner) => owner.ended);
      const bytes = client.bytes;
      assert.equal(bytes.length, written + 4);
      for (let at = 0; at < written; at += chunk.length) assert.equal(bytes[at], (at / chunk.length) & 255);
      assert.equal(bytes.toString("latin1", written), "tail");
      clientStream.close();
    });

    test("what may wait for more goes in order, and by itself where nothing follows", async () => {
      const { client, server, clientStream, serverStream } = await pair(transport);
      const write = (text: string, more: boolean): boolean =>
        serverStream.write(Buffer.from(text), 0, text.length, more);
      assert.equal(write("a", true) && write("b", true), true);
      await client.until(({ text }) => text === "ab");
      write("c", true);
      write("d", false);
      write("e", true);
      await client.until(({ text }) => text === "abcde");
      write("f", true);
      serverStream.end();
      await client.until(({ ended }) => ended);
      assert.equal(client.text, "abcdef");
      send(clientStream, "g");
      await server.until(({ text }) => text === "g");
      clientStream.close();
    });

    test("what may wait for more is not lost by a close", async () => {
      const { client, serverStream } = await pair(transport);
      serverStream.write(Buffer.from("last"), 0, 4, true);
      serverStream.close();
      await client.until(({ ended, errno }) => ended || errno !== undefined);
      assert.equal(client.text, "last");
    });

    test("a slow reader holds back what may wait for more as well", async () => {
      const { client, clientStream, serverStream, server } = await pair(transport);
      clientStream.pause();
      const chunk = Buffer.alloc(16_384);
      let written = 0;
      let flows = true;
      while (flows && written < 64_000_000) {
        chunk.fill(written / chunk.length);
        flows = serverStream.write(chunk, 0, chunk.length, true);
        written += chunk.length;
        if (written % 1_048_576 === 0) await sleep(0);
      }
      assert.equal(flows, false);
      clientStream.resume();
      await server.until(({ drains }) => drains === 1);
      serverStream.end();
      await client.until(({ ended }) => ended);
      const { bytes } = client;
      assert.equal(bytes.length, written);
      for (let at = 0; at < written; at += chunk.length) assert.equal(bytes[at], (at / chunk.length) & 255);
      clientStream.close();
    });

    test("a paused stream tells nothing until it is resumed", async () => {
      const { client, clientStream, serverStream } = await pair(transport);
      clientStream.pause();
      send(serverStream, "later");
      serverStream.end();
      await sleep(50);
      assert.deepEqual([client.text, client.ended], ["", false]);
      clientStream.resume();
      await client.until((owner) => owner.ended);
      assert.equal(client.text, "later");
      clientStream.close();
      serverStream.close();
    });

    test("a reset is seen as one, and onClose comes once", async () => {
      const { client, clientStream, server, serverStream } = await pair(transport);
      serverStream.reset();
      assert.equal(server.errno, "");
      await client.until((owner) => owner.errno !== undefined);
      assert.equal(client.errno, "ECONNRESET");
      clientStream.close();
      clientStream.reset();
      serverStream.close();
      await sleep(20);
      assert.equal(client.late + server.late, 0);
    });

    test("writing to a peer that is gone never calls back within write", async () => {
      const { client, clientStream, serverStream } = await pair(transport);
      serverStream.reset();
      let within = false;
      for (let attempt = 0; attempt < 100 && client.errno === undefined; attempt++) {
        const before: string | undefined = client.errno;
        send(clientStream, "x");
        within ||= client.errno !== before;
        await sleep(1);
      }
      assert.equal(within, false);
      await client.until((owner) => owner.errno !== undefined);
      assert.match(client.errno ?? "", /^E(PIPE|CONNRESET)$/);
      assert.equal(send(clientStream, "after the end"), true);
      await sleep(20);
      assert.equal(client.late, 0);
    });

    test("closing with writes under way tells nobody afterwards", async () => {
      const { clientStream, server, serverStream, client } = await pair(transport);
      clientStream.pause();
      while (send(serverStream, Buffer.alloc(65_536)));
      serverStream.close();
      await sleep(20);
      assert.deepEqual([server.errno, server.late], ["", 0]);
      clientStream.close();
      assert.equal(client.late, 0);
    });

    test("a refused connection names address and code, a silent one times out", async () => {
      const { address, close } = await listen(transport);
      close();
      await sleep(10);
      await assert.rejects(
        transport.connect(address, 1_000, nobody),
        (error) =>
          error instanceof ConnectError &&
          error.code === "ECONNREFUSED" &&
          error.message.includes(String(address.port)),
      );
      // TEST-NET-1 (RFC 5737) goes nowhere.
      await assert.rejects(
        transport.connect({ ip: "192.0.2.1", port: 9 }, 50, nobody),
        (error) => error instanceof ConnectError,
      );
    });

    test("a connection that came about while the loop was busy is no time-out", async () => {
      const { address, accept } = await listen(transport);
      const connected = transport.connect(address, 30, nobody);
      const until = performance.now() + 100;
      while (performance.now() < until);
      (await connected).close();
      (await accept()).open(nobody).close();
    });

    test("an address that is taken is refused with its name", async () => {
      const { address } = await listen(transport);
      await assert.rejects(
        transport.listen(address, 1, () => undefined),
        (error) =>
          error instanceof Error &&
          error.message.includes(String(address.port)) &&
          error.message.includes("EADDRINUSE"),
      );
    });

    test("a released stream is a socket that reads the given head first", async () => {
      const { address, accept } = await listen(transport);
      const other = netConnect(address.port, address.ip);
      const owner = new RecordingOwner();
      const stream = (await accept()).open(owner);
      other.write("peeked ");
      await owner.until(({ text }) => text === "peeked ");
      const socket = transport.release(stream, owner.bytes);
      assert.equal((socket.read() as Buffer).toString(), "peeked ");
      socket.destroy();
      other.destroy();
      assert.equal(owner.errno, undefined);
    });
  });
}
