/** Signs of life: who is silent is asked for one, and given up without an answer; who answers stays. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { HttpService } from "../../../../runtime/proxy/http/service.ts";
import { ClientSession } from "../../../../runtime/proxy/http2/client-session.ts";
import { lifeOf } from "../../../../runtime/proxy/http2/keep-alive.ts";
import { SERVER_LIMITS } from "../../../../runtime/proxy/http2/limits.ts";
import { ServerSession } from "../../../../runtime/proxy/http2/server-session.ts";
import type { TcpSeries } from "../../../../runtime/proxy/metrics/series.ts";
import type { StreamHandler, StreamReset } from "../../../../runtime/wire/http2/stream.ts";
import { fieldsOf, Talk, wireClient, wireServer } from "./peers.ts";
import { pipe } from "./pipe.ts";

const tcp: TcpSeries = {
  opened: () => undefined,
  closed: () => undefined,
  read: () => undefined,
  wrote: () => undefined,
};
const service = {
  audience: { meshed: false, informed: false },
  requestLines: Buffer.alloc(0),
  tcp,
  closed: () => undefined,
} as unknown as HttpService;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const MOST = 1_000_000;

/** Two seconds, again and again. @returns after how many of them it was over; `most` if it never was */
async function ticksUntil(over: () => boolean, most: number, each: () => void): Promise<number> {
  for (let count = 0; count < most; count++) {
    if (over()) return count;
    mock.timers.tick(2_000);
    await turn();
    each();
  }
  return most;
}

test("a client that says nothing any more is given up after 16 s, also where it takes nothing", async () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    for (const reads of [true, false]) {
      const [near, far] = pipe(reads ? MOST : 1);
      const session = new ServerSession(near, service);
      const { end } = wireClient(far, 65_535, 65_535);
      end.flush();
      far.pump(MOST);
      const ticks = await ticksUntil(
        () => near.closed,
        20,
        () => reads && near.pump(MOST),
      );
      assert.equal(ticks, 8);
      session.close();
    }
  } finally {
    mock.timers.reset();
  }
});

test("a client that only asks, because it hears nothing, is given up all the same", async () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    const [near, far] = pipe(MOST);
    const session = new ServerSession(near, service);
    const { end, http2 } = wireClient(far, 65_535, 65_535);
    end.flush();
    far.pump(MOST);
    const ticks = await ticksUntil(
      () => near.closed,
      20,
      () => {
        http2.ping();
        end.flush();
        far.pump(MOST);
      },
    );
    assert.equal(ticks, 8);
    session.close();
  } finally {
    mock.timers.reset();
  }
});

test("a client that answers stays", async () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    const [near, far] = pipe(MOST);
    const session = new ServerSession(near, service);
    const { end } = wireClient(far, 65_535, 65_535);
    const move = (): void => {
      near.pump(MOST);
      end.flush();
      far.pump(MOST);
    };
    move();
    assert.equal(await ticksUntil(() => near.closed, 40, move), 40);
    session.close();
  } finally {
    mock.timers.reset();
  }
});

test("a server that says nothing any more: its requests are told, and its connection ends", async () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    const [near, far] = pipe(MOST);
    const gone: string[] = [];
    const session = new ClientSession({
      onRoom: () => undefined,
      onFull: () => undefined,
      onDraining: () => undefined,
      onIdle: () => undefined,
      onClosed: () => gone.push("closed"),
      tcp,
    });
    near.owner = session;
    session.start(near);
    const { end } = wireServer(far, {
      maxConcurrentStreams: 10,
      onRequest: () => new Talk(() => 0, { key: 0, bytes: 0, trailers: undefined }, 0),
    });
    end.flush();
    far.pump(MOST);
    let reset: StreamReset | undefined;
    const handler: StreamHandler = {
      onInformational: () => undefined,
      onHeaders: () => undefined,
      onData: () => undefined,
      onTrailers: () => undefined,
      onWritable: () => undefined,
      onClose: (told) => {
        reset = told;
      },
    };
    session.request(fieldsOf({ ":method": "GET", ":scheme": "http", ":path": "/" }), true, handler);
    const ticks = await ticksUntil(
      () => near.closed,
      20,
      () => near.pump(MOST),
    );
    assert.equal(ticks, 8);
    assert.deepEqual([reset?.lost, reset?.unprocessed], [true, false]);
    assert.match(reset?.reason ?? "", /no sign of life/);
    assert.deepEqual(gone, ["closed"]);
  } finally {
    mock.timers.reset();
  }
});

test("a client that says GOAWAY may still ask; where it does not, its connection ends", async () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    const [near, far] = pipe(MOST);
    const session = new ServerSession(near, service);
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    const goAway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, ...new Array<number>(8).fill(0)]);
    const bytes = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, goAway, goAway]);
    far.write(bytes, 0, bytes.length);
    far.pump(MOST);
    await turn();
    mock.timers.tick(900);
    assert.equal(near.ended || near.closed, false);
    mock.timers.tick(200);
    await turn();
    assert.equal(near.ended || near.closed, true);
    session.close();
  } finally {
    mock.timers.reset();
  }
});

test("a client is asked and given up as its side's limits say, in whole ticks", async () => {
  assert.deepEqual(lifeOf(10_000, 3_000), SERVER_LIMITS.life);
  const cases: [intervalMs: number, timeoutMs: number, ticks: number][] = [
    [1_000, 1_000, 3],
    [20_000, 10_000, 16],
  ];
  for (const [intervalMs, timeoutMs, expected] of cases) {
    mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
    try {
      const [near, far] = pipe(MOST);
      const session = new ServerSession(near, service, { ...SERVER_LIMITS, life: lifeOf(intervalMs, timeoutMs) });
      const { end } = wireClient(far, 65_535, 65_535);
      end.flush();
      far.pump(MOST);
      const ticks = await ticksUntil(
        () => near.closed,
        40,
        () => near.pump(MOST),
      );
      assert.equal(ticks, expected);
      session.close();
    } finally {
      mock.timers.reset();
    }
  }
});
