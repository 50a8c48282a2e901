/** Bytes both ways over real connections: half-close, hold-back, resets, and what a server says before anybody listens. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer, connect as netConnect, type Server, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import type { TcpSeries } from "../../../../runtime/proxy/metrics/series.ts";
import { Forward } from "../../../../runtime/proxy/tcp/forward.ts";
import { listen, TRANSPORTS } from "../transport/support.ts";

function counted(): TcpSeries & { bytesRead: number; bytesWritten: number; open: number; errnos: string[] } {
  const series = {
    bytesRead: 0,
    bytesWritten: 0,
    open: 0,
    errnos: [] as string[],
    opened: () => {
      series.open++;
    },
    closed: (errno: string) => {
      series.open--;
      series.errnos.push(errno);
    },
    read: (bytes: number) => {
      series.bytesRead += bytes;
    },
    wrote: (bytes: number) => {
      series.bytesWritten += bytes;
    },
  };
  return series;
}

function serve(handler: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer({ allowHalfOpen: true }, handler);
    after(() => server.close());
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

for (const transport of TRANSPORTS) {
  describe(`TCP relay over ${transport.name}`, () => {
    async function relayTo(server: Server | number) {
      const { address, accept } = await listen(transport);
      const port = typeof server === "number" ? server : (server.address() as { port: number }).port;
      const src = counted();
      const dst = counted();
      const failures: Error[] = [];
      const client = netConnect({ port: address.port, host: address.ip, allowHalfOpen: true });
      client.on("error", () => undefined);
      const accepted = await accept();
      src.opened();
      const done = new Promise<void>((resolve) => {
        new Forward({
          client: () =>
            accepted.open({
              onData: () => undefined,
              onEnd: () => undefined,
              onDrain: () => undefined,
              onClose: () => undefined,
            }),
          series: src,
          connect: async (owner) => {
            const stream = await transport.connect({ ip: "127.0.0.1", port }, 1_000, owner);
            dst.opened();
            return { stream, series: dst };
          },
          onFailed: (error) => failures.push(error),
          onDone: resolve,
        });
      });
      return { client, src, dst, done, failures };
    }

    const textOf = (socket: Socket): Promise<string> =>
      new Promise((resolve) => {
        let text = "";
        socket.setEncoding("latin1");
        socket.on("data", (chunk) => {
          text += chunk;
        });
        socket.on("end", () => resolve(text));
      });

    test("a server that speaks first is heard, half-closes go through, bytes are counted", async () => {
      const server = await serve((socket) => {
        socket.write("hello ");
        let heard = "";
        socket.on("data", (chunk) => {
          heard += String(chunk);
        });
        socket.on("end", () => socket.end(`you said ${heard}`));
      });
      const { client, src, dst, done } = await relayTo(server);
      const text = textOf(client);
      client.end("something");
      assert.equal(await text, "hello you said something");
      await done;
      assert.deepEqual([src.bytesRead, src.bytesWritten, dst.bytesRead, dst.bytesWritten], [9, 24, 24, 9]);
      assert.deepEqual([src.open, dst.open, src.errnos, dst.errnos], [0, 0, [""], [""]]);
    });

    test("much goes both ways at once, whole", async () => {
      const server = await serve((socket) => socket.pipe(socket));
      const { client, done } = await relayTo(server);
      const sent = randomBytes(3_000_000);
      const hash = createHash("sha256");
      const received = new Promise<string>((resolve) => {
        client.on("data", (chunk) => {
          hash.update(chunk);
          // A reader that takes its time.
          client.pause();
          setImmediate(() => client.resume());
        });
        client.on("end", () => resolve(hash.digest("hex")));
      });
      client.end(sent);
      assert.equal(await received, createHash("sha256").update(sent).digest("hex"));
      await done;
    });

    test("a reset on one side is a reset on the other", async () => {
      const server = await serve((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => socket.resetAndDestroy());
      });
      const { client, done, dst } = await relayTo(server);
      const code = new Promise((resolve) => client.on("error", (error: NodeJS.ErrnoException) => resolve(error.code)));
      client.write("x");
      assert.equal(await code, "ECONNRESET");
      await done;
      assert.deepEqual(dst.errnos, ["ECONNRESET"]);
    });

    test("where nobody listens the client is reset and the reason told", async () => {
      const server = await serve(() => undefined);
      const { port } = server.address() as { port: number };
      await new Promise((resolve) => server.close(resolve));
      const { client, done, failures, src } = await relayTo(port);
      const closed = new Promise((resolve) => client.on("close", resolve));
      await done;
      await closed;
      assert.match(failures[0]?.message ?? "", /ECONNREFUSED/);
      assert.equal(src.open, 0);
    });
  });
}
