/** HTTP/2 and gRPC through redirect, two proxies and mTLS: Node's and grpc-js's clients and servers, which know nothing of it. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { content, type Outcome, type Scenario } from "./support/http2-client.ts";
import type { Http2LoadOptions } from "./support/http2-load.ts";
import type { LoadResult } from "./support/load.ts";
import { ask, endpoint, type MeshedPod, SERVICE_IP, sum, TestMesh } from "./support/mesh.ts";

const PORT = 8090;
const support = join(import.meta.dirname, "support");
const MEBIBYTE = 1024 * 1024;

describe("HTTP/2 between meshed pods", () => {
  const mesh = new TestMesh();
  let client: MeshedPod;
  let one: MeshedPod;
  let two: MeshedPod;

  const serve = async (meshed: MeshedPod): Promise<void> => {
    const { child } = await meshed.pod.start(join(support, "http2-application.ts"), { argument: PORT });
    meshed.application = child;
  };
  const targets = (...servers: MeshedPod[]): Record<string, { endpoints: ReturnType<typeof endpoint>[] }> =>
    Object.fromEntries(
      [PORT, PORT + 1].map((port) => [
        `${SERVICE_IP}:${port}`,
        { endpoints: servers.map((server) => endpoint(server, port)) },
      ]),
    );

  before(async () => {
    one = await mesh.add("one");
    two = await mesh.add("two");
    await Promise.all([serve(one), serve(two)]);
    client = await mesh.add("client", { targets: targets(one) });
  });
  after(() => mesh.remove());

  const play = async (path: string, options: Partial<Scenario> = {}): Promise<Outcome[]> => {
    const scenario: Scenario = {
      url: `http://${SERVICE_IP}:${PORT}`,
      ...options,
      headers: { ":path": path, ":method": options.upload === undefined ? "GET" : "POST", ...options.headers },
    };
    return JSON.parse(
      await client.pod.run(process.execPath, [join(support, "http2-client.ts"), JSON.stringify(scenario)]),
    ) as Outcome[];
  };
  const played = async (path: string, options: Partial<Scenario> = {}): Promise<Outcome> =>
    (await play(path, options))[0] as Outcome;

  /** Bytes of what a proxy holds outside its heap, and of its heap. */
  const held = async (proxy: ChildProcess): Promise<number> => {
    const { memory } = await ask<{ memory: NodeJS.MemoryUsage }>(proxy, { metrics: true });
    return memory.arrayBuffers + memory.heapUsed;
  };
  /** The most that either proxy holds while `work` goes on, beyond what it held before. */
  const growth = async (work: Promise<unknown>): Promise<number> => {
    const proxies = [client.proxy, one.proxy];
    const first = await Promise.all(proxies.map(held));
    let most = 0;
    let over = false;
    const done = work.finally(() => {
      over = true;
    });
    while (!over) {
      const now = await Promise.all(proxies.map(held));
      for (const [index, bytes] of now.entries()) most = Math.max(most, bytes - (first[index] as number));
      await sleep(50);
    }
    await done;
    return most;
  };

  test("a large body with a slow reader, either way: whole, and never held by a proxy", async () => {
    const upload = 100 * MEBIBYTE;
    const sent = played("/echo?pause=1", { upload });
    const grownBySending = await growth(sent);
    const { body, trailers } = await sent;
    assert.equal(body, createHash("sha256").update(content(upload)).digest("hex"));
    assert.equal(trailers["x-length"], String(upload));
    const got = played(`/bytes?n=${100 * MEBIBYTE}`, { pauseMs: 1 });
    const grownByReading = await growth(got);
    assert.equal((await got).length, 100 * MEBIBYTE);
    // What no garbage collection has come by for, not what waits.
    assert.ok(Math.max(grownBySending, grownByReading) < 32 * MEBIBYTE, `${grownBySending}, ${grownByReading}`);
  });

  test("1,000 requests at once on one connection are all answered, on one connection between the proxies", async () => {
    const before_ = await sum(client.proxy, "tcp_open_total", 'peer="dst"');
    const outcomes = await play("/slow?ms=500", { times: 1_000 });
    assert.deepEqual(new Set(outcomes.map(({ status, body }) => `${status} ${body}`)), new Set(["200 slow"]));
    assert.ok((await sum(client.proxy, "tcp_open_total", 'peer="dst"')) - before_ <= 1);
  });

  test("a client that gives up is told to the server, with its code", async () => {
    const { code, ms } = await played("/never", { cancelAfterMs: 100, cancelCode: 8 });
    assert.equal(code, 8);
    assert.ok(ms < 1_000);
    await sleep(100);
    assert.deepEqual(JSON.parse((await played("/cancels")).body), [8]);
  });

  test("a server that breaks off is told to the client, before its head and after, with its code", async () => {
    const early = await played("/reset?code=11");
    assert.deepEqual([early.status, early.code], [0, 11]);
    const late = await played("/reset?begun");
    assert.deepEqual([late.status, late.code], [200, 2]);
  });

  test("a server that answers before the request is whole: the client has the answer, and its end", async () => {
    const { status, body, whole, ms } = await played("/enough", { upload: -1 });
    assert.deepEqual([status, body, whole], [413, "enough", true]);
    assert.ok(ms < 2_000);
  });

  test("gRPC: unary, streams, statuses, time limits and cancels", async () => {
    const script = join(support, "grpc-scenario.ts");
    const said = await client.pod.run(process.execPath, [script, `${SERVICE_IP}:${PORT + 1}`]);
    assert.deepEqual(JSON.parse(said), {
      unary: "hello",
      large: 3_000_000,
      failed: "7 as asked",
      stream: 200,
      late: 4,
      cancelled: 1,
    });
  });

  test("a server that is gone in mid-answer breaks the answer off, and what comes next is answered by another", async () => {
    await ask(client.proxy, { set: targets(two) });
    const under = played(`/bytes?n=${400 * MEBIBYTE}`, { pauseMs: 2 });
    await sleep(500);
    two.application?.send("vanish");
    const { status, code, whole } = await under;
    assert.equal(status, 200);
    assert.ok(code !== 0 || !whole, "it passes for whole");
    await ask(client.proxy, { set: targets(one, two) });
    const outcomes = await play("/slow?ms=1", { times: 40, upload: 5 });
    assert.deepEqual(new Set(outcomes.map(({ status: each }) => each)), new Set([200]));
    await serve(two);
  });

  async function underLoad(work: () => Promise<void>): Promise<LoadResult> {
    const argument: Http2LoadOptions = {
      url: `http://${SERVICE_IP}:${PORT}`,
      grpc: `${SERVICE_IP}:${PORT + 1}`,
      streams: 10,
    };
    const { child } = await client.pod.start(join(support, "http2-load.ts"), { argument });
    await sleep(500);
    await work();
    await sleep(500);
    const result = new Promise<LoadResult>((resolve) => child.once("message", (told) => resolve(told as LoadResult)));
    child.send("stop");
    return result;
  }

  test("certificates that are renewed on either side under load: connections are made anew, and nothing fails", async () => {
    await ask(client.proxy, { set: targets(one, two) });
    const opened = (): Promise<number> => sum(client.proxy, "tcp_open_total", 'direction="outbound",peer="dst"');
    const counts: number[] = [];
    const { failures, answers } = await underLoad(async () => {
      for (const renewed of [one.proxy, client.proxy]) {
        counts.push(await opened());
        await ask(renewed, { renew: true });
        await sleep(500);
      }
      counts.push(await opened());
    });
    assert.deepEqual(failures, []);
    assert.ok(answers > 500);
    const [first, second, third] = counts as [number, number, number];
    assert.ok(second > first && third > second, counts.join());
  });

  test("an application that goes away as it should loses nothing under load", async () => {
    const { failures } = await underLoad(async () => {
      await ask(client.proxy, { set: targets(one) });
      await sleep(100);
      const gone = new Promise((resolve) => two.application?.once("exit", resolve));
      two.application?.send("terminate");
      await gone;
      await serve(two);
      await ask(client.proxy, { set: targets(one, two) });
    });
    assert.deepEqual(failures, []);
  });

  test("a server that goes silent is given up within its signs of life; what was asked of it is told so", async () => {
    await ask(client.proxy, { set: targets(two) });
    const under = played("/slow?ms=60000");
    await sleep(500);
    const drop = async (verb: string): Promise<void> => {
      await two.pod.run("iptables", [verb, "INPUT", "-i", "eth0", "-j", "DROP"]);
      await two.pod.run("iptables", [verb, "OUTPUT", "-o", "eth0", "-j", "DROP"]);
    };
    await drop("-I");
    const { status, ms } = await under;
    await drop("-D");
    assert.equal(status, 502);
    assert.ok(ms > 8_000 && ms < 20_000, `${ms} ms`);
    await ask(client.proxy, { set: targets(one, two) });
  });

  test("a server's proxy that drains under load: no request fails, and it is through at once", async () => {
    let drainedMs = 0;
    const { failures, by } = await underLoad(async () => {
      const drained = ask<{ drainedMs: number }>(two.proxy, { drain: 20_000 });
      await sleep(200);
      await ask(client.proxy, { set: targets(one) });
      ({ drainedMs } = await drained);
    });
    assert.deepEqual(failures, []);
    assert.equal(Object.keys(by).length, 3, JSON.stringify(by));
    assert.ok(drainedMs < 5_000, `drained in ${drainedMs} ms`);
  });

  test("a client's proxy that drains says GOAWAY, and what is under way is answered", async () => {
    const asked = (): Promise<number> => sum(client.proxy, "request_total", 'direction="outbound"');
    const before = await asked();
    const under = play("/slow?ms=1500", { times: 20 });
    while ((await asked()) < before + 20) await sleep(20);
    const { drainedMs } = await ask<{ drainedMs: number }>(client.proxy, { drain: 20_000 });
    const outcomes = await under;
    assert.deepEqual(new Set(outcomes.map(({ status, body }) => `${status} ${body}`)), new Set(["200 slow"]));
    assert.ok(drainedMs < 5_000, `drained in ${drainedMs} ms`);
  });
});
