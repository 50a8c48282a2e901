/** What a server may do to hurt a proxy, or the clients behind it, is bounded and ends its connection; other servers' requests go on. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { flag, frameType, PREFACE } from "../../../runtime/wire/http2/protocol.ts";
import { block, END, frame, number32, SETTINGS, setting } from "../../unit/wire/http2/support.ts";
import { type Entrance, Entrances } from "./support/entrances.ts";
import { defaultServer, everyone } from "./support/messages.ts";
import { RawHttp2 } from "./support/raw-http2.ts";
import { until } from "./support/until.ts";

const MEBIBYTE = 1024 * 1024;
const MOST_HELD = 48 * MEBIBYTE;
const MOST_FRAMES = 50_000;
const AT_ONCE = 100;
/** A server is the application behind the inbound side, and whoever is called through the outbound one. */
const SIDES: readonly Entrance[] = ["inbound plain", "outbound"];
const REQUEST = frame(
  frameType.headers,
  END,
  1,
  block([":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "web.shop"]),
);
const HTTP1_REQUEST = "GET / HTTP/1.1\r\nhost: web.shop\r\n\r\n";

interface Attack {
  readonly opening?: Buffer;
  readonly next: () => Buffer;
  /** What the server hears of the proxy. */
  readonly heard: RegExp;
}

const CALM = /^goaway 0 11 /;
const ATTACKS: Readonly<Record<string, Attack>> = {
  "a flood of SETTINGS": { next: () => frame(frameType.settings, 0, 0, setting(3, 100)), heard: CALM },
  "a flood of PING": { next: () => frame(frameType.ping, 0, 0, Buffer.alloc(8)), heard: CALM },
  "a flood of unknown frames": { next: () => frame(0xbb, 0, 0), heard: CALM },
  "a flood of WINDOW_UPDATE": { next: () => frame(frameType.windowUpdate, 0, 1, number32(1)), heard: CALM },
  "a flood of empty DATA": {
    opening: frame(frameType.headers, flag.endHeaders, 1, block([":status", "200"])),
    next: () => frame(frameType.data, 0, 1),
    heard: CALM,
  },
  "a flood of CONTINUATION": {
    opening: frame(frameType.headers, 0, 1, block([":status", "200"])),
    next: () => frame(frameType.continuation, 0, 1, block(["x", "y".repeat(10_000)])),
    heard: CALM,
  },
  "a flood of interim answers": {
    next: () => frame(frameType.headers, flag.endHeaders, 1, block([":status", "103"], ["link", "x".repeat(1_000)])),
    heard: /^reset 1 8$/,
  },
};

describe("a server that means harm", () => {
  const entrances = new Entrances();
  const { world } = entrances;
  const servers: Server[] = [];
  before(() => entrances.start());
  after(() => {
    for (const server of servers) server.close();
    entrances.stop();
  });

  const held = (): number => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };

  async function serve(talk: (socket: Socket) => void): Promise<number> {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      talk(socket);
    });
    servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await world.setPolicy(port, defaultServer(`open-${port}`, [everyone("all")]));
    return port;
  }

  /** Until the other end has had enough. @returns the most that was held, and how many frames it took */
  async function flood(
    socket: Socket,
    enough: () => boolean,
    next: () => Buffer,
  ): Promise<{ most: number; count: number }> {
    const before = held();
    let most = 0;
    let count = 0;
    while (!enough() && !socket.destroyed && count < MOST_FRAMES) {
      const batch = Buffer.concat(Array.from({ length: AT_ONCE }, next));
      count += AT_ONCE;
      if (!socket.write(batch)) await Promise.race([once(socket, "drain"), once(socket, "close")]);
      for (let turns = 0; turns < 4; turns++) await turn();
      most = Math.max(most, held() - before);
    }
    return { most, count };
  }

  for (const side of SIDES) {
    for (const [name, { opening, next, heard }] of Object.entries(ATTACKS)) {
      it(`${name}, ${side}`, async () => {
        let flooded: Promise<{ most: number; count: number }> | undefined;
        let proxy: RawHttp2 | undefined;
        const port = await serve((socket) => {
          const told = new RawHttp2(socket, true);
          proxy = told;
          const isEnough = (): boolean => told.lines.some((line) => heard.test(line));
          socket.write(SETTINGS);
          flooded = told.until(/^headers 1 /).then(() => {
            if (opening !== undefined) socket.write(opening);
            return flood(socket, isEnough, next);
          });
        });
        const socket = await entrances.connect(side, port);
        const client = new RawHttp2(socket);
        socket.write(Buffer.concat([PREFACE, SETTINGS, REQUEST]));
        // Its answer is the proxy's own, or is broken off; its connection is none of the server's.
        await client.until(/^(headers 1 [^ ]+ true|reset 1 )/);
        await until("the server was cut off", () => proxy?.lines.some((line) => heard.test(line)) === true);
        const { most, count } = await (flooded ?? assert.fail("nobody asked the server"));
        assert.ok(count < MOST_FRAMES, `after ${count} frames`);
        assert.ok(most < MOST_HELD, `${Math.round(most / MEBIBYTE)} MiB were held`);
        assert.equal(client.goAway, undefined);
        socket.destroy();
      });
    }

    it(`interim answers of HTTP/1 without end, ${side}`, async () => {
      let flooded: Promise<{ most: number; count: number }> | undefined;
      const port = await serve((socket) => {
        flooded = once(socket, "data").then(() =>
          flood(
            socket,
            () => false,
            () => Buffer.from(`HTTP/1.1 103 Early Hints\r\nlink: ${"x".repeat(1_000)}\r\n\r\n`),
          ),
        );
      });
      const socket = await entrances.connect(side, port);
      let text = "";
      socket.on("data", (bytes: Buffer) => {
        text += bytes.toString("latin1");
      });
      socket.write(HTTP1_REQUEST);
      await until("there is an answer", () => / 502 /.test(text));
      const { most, count } = await (flooded ?? assert.fail("nobody asked the server"));
      assert.ok(count < MOST_FRAMES, `after ${count} answers`);
      assert.ok(most < MOST_HELD, `${Math.round(most / MEBIBYTE)} MiB were held`);
      socket.destroy();
    });

    it(`an HTTP/1 head without end, ${side}`, async () => {
      let flooded: Promise<{ most: number; count: number }> | undefined;
      const port = await serve((socket) => {
        flooded = once(socket, "data").then(() => {
          socket.write("HTTP/1.1 200 OK\r\n");
          return flood(
            socket,
            () => false,
            () => Buffer.from(`x: ${"y".repeat(1_000)}\r\n`),
          );
        });
      });
      const socket = await entrances.connect(side, port);
      const answer = once(socket, "data");
      socket.write(HTTP1_REQUEST);
      assert.match(String((await answer)[0]), /^HTTP\/1\.1 502 /);
      const { most, count } = await (flooded ?? assert.fail("nobody asked the server"));
      assert.ok(count < MOST_FRAMES, `after ${count} lines`);
      assert.ok(most < MOST_HELD, `${Math.round(most / MEBIBYTE)} MiB were held`);
      socket.destroy();
    });
  }
});
