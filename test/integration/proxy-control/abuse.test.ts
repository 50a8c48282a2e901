/** What a client may do to hurt a proxy is bounded and ends its connection, wherever it enters (RFC 9113, 10.5); nobody else is harmed. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { flag, frameType, PREFACE } from "../../../runtime/wire/http2/protocol.ts";
import { block, END, frame, number32, SETTINGS, setting } from "../../unit/wire/http2/support.ts";
import { ENTRANCES, type Entrance, Entrances, SHUT } from "./support/entrances.ts";
import { BIG } from "./support/inbound-world.ts";
import { RawHttp2 } from "./support/raw-http2.ts";
import { until } from "./support/until.ts";

const MEBIBYTE = 1024 * 1024;
const HEAD_TIMEOUT_MS = 2_500;
/** What Node itself may hold for a while of what is written and read here. */
const MOST_HELD = 48 * MEBIBYTE;
/** Ten times what ends the slowest of these. */
const MOST_FRAMES = 50_000;
const AT_ONCE = 100;
/** Of requests whose answers nobody fetches, bytes: their answers are several times as many, and what the kernel keeps is less. */
const MOST_STUFFED = 24 * MEBIBYTE;

const get = (path: string): [name: string, value: string][] => [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", path],
  [":authority", "web.shop"],
];
/** Each ends with GOAWAY of ENHANCE_YOUR_CALM, which is 11 (RFC 9113, 7). */
const CALM = /^goaway \d+ 11 /;
const request = (id: number, path = "/healthz"): Buffer => frame(frameType.headers, END, id, block(...get(path)));
const empty = Buffer.alloc(0);

interface Flood {
  /** Comes first. */
  readonly opening?: Buffer;
  readonly next: (index: number) => Buffer;
}

const FLOODS: Readonly<Record<string, Flood>> = {
  "of requests that are reset at once (rapid reset)": {
    next: (index) =>
      Buffer.concat([request(1 + 2 * index, "/slow"), frame(frameType.resetStream, 0, 1 + 2 * index, number32(8))]),
  },
  "of requests that break a rule": {
    next: (index) => frame(frameType.headers, END, 1 + 2 * index, block([":method", "GET"])),
  },
  "of CONTINUATION, each with a field": {
    opening: frame(frameType.headers, flag.endStream, 1, block(...get("/"))),
    next: () => frame(frameType.continuation, 0, 1, block(["x", "y".repeat(10_000)])),
  },
  "of CONTINUATION, each with nothing": {
    opening: frame(frameType.headers, flag.endStream, 1, block(...get("/"))),
    next: () => frame(frameType.continuation, 0, 1, empty),
  },
  "of SETTINGS": { next: () => frame(frameType.settings, 0, 0, setting(3, 1)) },
  "of PING": { next: () => frame(frameType.ping, 0, 0, Buffer.alloc(8)) },
  "of PRIORITY": {
    next: (index) => frame(frameType.priority, 0, 1 + 2 * (index % 50), Buffer.from([0, 0, 0, 0, 1])),
  },
  "of unknown frames": { next: () => frame(0xbb, 0, 0, empty) },
  "of WINDOW_UPDATE": { next: () => frame(frameType.windowUpdate, 0, 0, number32(1)) },
  "of empty DATA": {
    opening: frame(frameType.headers, flag.endHeaders, 1, block([":method", "POST"], ...get("/slow").slice(1))),
    next: () => frame(frameType.data, 0, 1, empty),
  },
};

describe("a client that means harm", () => {
  const entrances = new Entrances();
  const { world } = entrances;
  before(() => entrances.start(HEAD_TIMEOUT_MS));
  after(() => entrances.stop());

  const held = (): number => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };

  async function open(entrance: Entrance, opening: Buffer = empty): Promise<{ socket: Socket; http2: RawHttp2 }> {
    const socket = await entrances.connect(entrance, world.ports["HTTP/2"]);
    const http2 = new RawHttp2(socket);
    socket.write(Buffer.concat([PREFACE, SETTINGS, opening]));
    return { socket, http2 };
  }

  /** Another client's request on a connection of its own. */
  async function isServed(entrance: Entrance): Promise<void> {
    const { socket, http2 } = await open(entrance, request(1));
    await http2.until(/^headers 1 88/);
    await http2.until(/^data 1 .* true$/);
    socket.destroy();
  }

  for (const entrance of ENTRANCES) {
    for (const [name, { opening, next }] of Object.entries(FLOODS)) {
      it(`a flood ${name}, ${entrance}`, async () => {
        const { socket, http2 } = await open(entrance, opening);
        const before = held();
        let frames = 0;
        let most = 0;
        while (http2.goAway === undefined && !socket.destroyed && frames < MOST_FRAMES) {
          const batch = Buffer.concat(Array.from({ length: AT_ONCE }, () => next(frames++)));
          if (!socket.write(batch)) await Promise.race([once(socket, "drain"), once(socket, "close")]);
          for (let turns = 0; turns < 4; turns++) await turn();
          most = Math.max(most, held() - before);
        }
        assert.match(http2.goAway ?? "no goaway", CALM);
        // Some are on their way when it ends.
        assert.ok(frames <= MOST_FRAMES / 2, `after ${frames} frames`);
        assert.ok(most < MOST_HELD, `${Math.round(most / MEBIBYTE)} MiB were held`);
        socket.end();
        if (!socket.destroyed) await once(socket, "close");
        await isServed(entrance);
      });
    }

    it(`a bomb of header fields (RFC 7541, 7.3), ${entrance}: 431, and the connection goes on`, async () => {
      const big = Buffer.from("v".repeat(3_900));
      // Its length is 127 and 3,773 more, of which 7 bits come first (RFC 7541, 5.1).
      const literal = Buffer.concat([Buffer.from([0x40, 1, 0x78, 0x7f, (3_773 % 128) | 128, 3_773 >> 7]), big]);
      const bomb = Buffer.concat([block(...get("/")), literal, Buffer.alloc(8_192, 0x80 | 62)]);
      const before = world.sum("request_total");
      const { socket, http2 } = await open(entrance, frame(frameType.headers, END, 1, bomb));
      const held_ = held();
      assert.match(await http2.until(/^headers 1 /), /^headers 1 4803343331 true$/);
      assert.ok(held() - held_ < MOST_HELD);
      assert.equal(world.sum("request_total"), before);
      socket.write(request(3));
      await http2.until(/^headers 3 88/);
      socket.destroy();
    });
  }

  describe("and fetches no answer", () => {
    /** Sends `next` again and again, until nobody takes it for a while. @returns how much was taken, bytes */
    async function stuff(socket: Socket, next: () => Buffer): Promise<number> {
      let taken = 0;
      while (taken < MOST_STUFFED) {
        const batch = Buffer.concat(Array.from({ length: 1_000 }, next));
        const written = new Promise<boolean>((resolve) => socket.write(batch, () => resolve(true)));
        if (!(await Promise.race([written, sleep(1_000, false)]))) break;
        taken += batch.length;
      }
      return taken;
    }

    for (const entrance of ENTRANCES) {
      for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
        it(`of ${version}, ${entrance}: no more of its requests are read`, async () => {
          const socket = await entrances.connect(entrance, SHUT);
          const before = held();
          let id = 1;
          let next = (): Buffer => Buffer.from("GET / HTTP/1.1\r\nhost: web.shop\r\n\r\n");
          if (version === "HTTP/2") {
            socket.write(Buffer.concat([PREFACE, SETTINGS]));
            next = () => {
              id += 2;
              return request(id, "/");
            };
          }
          socket.pause();
          const taken = await stuff(socket, next);
          assert.ok(taken < MOST_STUFFED, `${taken} bytes were taken`);
          assert.ok(held() - before < MOST_HELD, `${Math.round((held() - before) / MEBIBYTE)} MiB were held`);
          // Once it reads, it has its answers.
          socket.resume();
          let heard = 0;
          socket.on("data", (bytes: Buffer) => {
            heard += bytes.length;
          });
          await until("answers came", () => heard > taken);
          socket.destroy();
        });
      }
    }
  });

  describe("and takes its time", { concurrency: true }, () => {
    for (const entrance of ENTRANCES) {
      it(`a window that stays shut, ${entrance}: what an application says waits there, and others are served, and it is cut off`, async () => {
        const streams = 100;
        const read = (): number => world.sum("tcp_read_bytes_total", 'peer="dst"');
        const before = { read: read(), held: held() };
        const { socket, http2 } = await open(entrance);
        socket.write(frame(frameType.settings, 0, 0, setting(4, 0)));
        for (let index = 0; index < streams; index++) socket.write(request(1 + 2 * index, "/big"));
        await until(
          "all have their heads",
          () => http2.lines.filter((line) => /^headers /.test(line)).length === streams,
        );
        await sleep(300);
        // It is healthy, but for its windows.
        const alive = setInterval(() => socket.write(frame(frameType.ping, flag.ack, 0, Buffer.alloc(8))), 1_000);
        assert.ok(!http2.lines.some((line) => /^data \d+ ../.test(line)), "a body came");
        // A stream's window each, and no more; on all sides at once.
        const came = read() - before.read;
        assert.ok(
          came < ENTRANCES.length * (streams * 65_535 + MEBIBYTE),
          `${came} bytes of ${streams * BIG.length} were taken`,
        );
        assert.ok(held() - before.held < MOST_HELD + ENTRANCES.length * streams * 65_535);
        await isServed(entrance);
        await http2.until(/^reset \d+ 11$/, 40_000);
        clearInterval(alive);
        socket.destroy();
      });

      it(`a window that stays shut, and silence, ${entrance}: it is given up`, async () => {
        const { socket } = await open(entrance);
        socket.write(Buffer.concat([frame(frameType.settings, 0, 0, setting(4, 0)), request(1, "/big")]));
        const began = performance.now();
        await once(socket, "close");
        const took = performance.now() - began;
        assert.ok(took > 10_000 && took < 20_000, `after ${took} ms`);
      });

      it(`a head that does not end, over HTTP/1 ${entrance}`, async () => {
        const socket = await entrances.connect(entrance, world.ports["HTTP/1.1"]);
        socket.write("GET / HTTP/1.1\r\nhost: web.shop\r\n");
        await isEnded(socket, () => socket.write("a: b\r\n"));
        await isServed(entrance);
      });

      it(`a head that does not end, over HTTP/2 ${entrance}`, async () => {
        const { socket, http2 } = await open(entrance);
        const whole = request(1);
        socket.write(whole.subarray(0, 12));
        let at = 12;
        await isEnded(socket, () => at < whole.length - 1 && socket.write(whole.subarray(at, ++at)));
        assert.match(http2.goAway ?? "", /^goaway 0 11 /);
        await isServed(entrance);
      });

      it(`a head of CONTINUATIONs that come one by one, ${entrance}`, async () => {
        const { socket, http2 } = await open(entrance, frame(frameType.headers, flag.endStream, 1, block(...get("/"))));
        await isEnded(socket, () => socket.write(frame(frameType.continuation, 0, 1, block(["x", "y"]))));
        assert.match(http2.goAway ?? "", /^goaway 0 11 /);
      });

      it(`a preface that does not end, ${entrance}`, async () => {
        const socket = await entrances.connect(entrance, world.ports["HTTP/2"]);
        socket.write(PREFACE.subarray(0, 15));
        let at = 15;
        await isEnded(socket, () => at < PREFACE.length - 1 && socket.write(PREFACE.subarray(at, ++at)));
      });
    }
  });

  /** Within its head's time-out, whatever `keepOn` does all the while. */
  async function isEnded(socket: Socket, keepOn: () => unknown): Promise<void> {
    const timer = setInterval(keepOn, 200);
    const began = performance.now();
    socket.resume();
    socket.on("end", () => socket.end());
    await once(socket, "close");
    clearInterval(timer);
    const took = performance.now() - began;
    assert.ok(took > HEAD_TIMEOUT_MS - 500 && took < 3 * HEAD_TIMEOUT_MS, `after ${took} ms`);
  }
});
