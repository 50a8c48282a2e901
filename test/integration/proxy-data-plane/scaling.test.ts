/** Endpoints come, go, restart and drain under load: no request fails (invariant 6). */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadOptions, LoadResult } from "./support/load.ts";
import { ask, curl, endpoint, type MeshedPod, PORTS, SERVICE_IP, sum, TestMesh } from "./support/mesh.ts";

describe("endpoints under load", () => {
  const mesh = new TestMesh();
  let client: MeshedPod;
  let one: MeshedPod;
  let two: MeshedPod;
  const url = `http://${SERVICE_IP}:80`;

  before(async () => {
    one = await mesh.add("one");
    two = await mesh.add("two");
    await mesh.startApplication(one, "one");
    client = await mesh.add("client", {
      targets: { [`${SERVICE_IP}:80`]: { endpoints: [endpoint(one, PORTS.http)] } },
    });
  });
  after(() => mesh.remove());

  const serve = (...servers: MeshedPod[]): Promise<unknown> =>
    ask(client.proxy, {
      set: { [`${SERVICE_IP}:80`]: { endpoints: servers.map((server) => endpoint(server, PORTS.http)) } },
    });

  async function underLoad(work: () => Promise<void>): Promise<LoadResult> {
    const argument: LoadOptions = { url, connections: 10, pauseMs: 1 };
    const { child } = await client.pod.start(join(import.meta.dirname, "support/load.ts"), { argument });
    await sleep(300);
    await work();
    await sleep(300);
    const result = new Promise<LoadResult>((resolve) =>
      child.once("message", (message) => resolve(message as LoadResult)),
    );
    child.send("stop");
    return result;
  }

  const exited = (child: ChildProcess | undefined): Promise<void> =>
    new Promise((resolve) => child?.once("exit", () => resolve()));

  async function terminate(server: MeshedPod): Promise<void> {
    const gone = exited(server.application);
    server.application?.send("terminate");
    await gone;
  }

  test("a new endpoint is used, one that is taken away is not, and nothing fails", async () => {
    await mesh.startApplication(two, "two");
    const { by, failures, answers } = await underLoad(async () => {
      await serve(one, two);
      await sleep(700);
      await serve(two);
      await sleep(100);
      // As a kubelet would: the application ends once traffic has turned away, or before.
      await terminate(one);
      await sleep(200);
    });
    assert.deepEqual(failures, []);
    assert.ok(answers > 500);
    assert.ok((by["one"] ?? 0) > 20 && (by["two"] ?? 0) > 100, JSON.stringify(by));
  });

  test("an endpoint whose application is gone fails no request, whatever its method", async () => {
    const { by, failures } = await underLoad(async () => {
      await serve(one, two);
      await sleep(1_000);
    });
    assert.deepEqual(failures, []);
    assert.deepEqual(Object.keys(by), ["two"]);
    assert.ok((await sum(one.proxy, "inbound_http_errors_total", 'error="i/o"')) > 0, "it was never tried");
  });

  test("the only endpoint restarts, and its requests wait for it", async () => {
    await serve(two);
    await terminate(two);
    const { failures, answers } = await underLoad(async () => {
      await sleep(500);
      await mesh.startApplication(two, "two");
      await sleep(1_500);
    });
    assert.deepEqual(failures, []);
    assert.ok(answers > 100);
  });

  test("a renewed certificate on either side makes connections anew, and nothing fails", async () => {
    const opened = (): Promise<number> => sum(client.proxy, "tcp_open_total", 'direction="outbound",peer="dst"');
    const counts: number[] = [];
    const { failures } = await underLoad(async () => {
      for (const renewed of [two.proxy, client.proxy]) {
        counts.push(await opened());
        await ask(renewed, { renew: true });
        await sleep(300);
      }
      counts.push(await opened());
    });
    assert.deepEqual(failures, []);
    const [first, second, third] = counts as [number, number, number];
    assert.ok(second >= first + 10 && third >= second + 10, `connections opened: ${counts.join(", ")}`);
  });

  test("a policy that changes reaches connections that are open already", async () => {
    const { failures } = await underLoad(async () => {
      await ask(client.proxy, { set: { [`${SERVICE_IP}:80`]: { endpoints: [], refuse: 403 } } });
      await sleep(1_000);
    });
    assert.ok(failures.length > 0);
    assert.match(failures[0] as string, /403 traffic not allowed$/);
    await serve(two);
    assert.equal(await curl(client.pod, `${url}/`), "hello from two\n");
  });

  test("a proxy that drains fails no request, and drains in its peers' idle time", async () => {
    await mesh.startApplication(one, "one");
    await serve(one, two);
    let drainedMs = 0;
    const { failures } = await underLoad(async () => {
      const drained = ask<{ drainedMs: number }>(one.proxy, { drain: 20_000 });
      await sleep(200);
      await serve(two);
      ({ drainedMs } = await drained);
    });
    assert.deepEqual(failures, []);
    assert.ok(drainedMs < 5_000, `drained in ${drainedMs} ms`);
  });

  test("with nobody there requests fail after the failfast time, then at once", async () => {
    await serve(two);
    await terminate(two);
    const began = Date.now();
    const first = await curl(client.pod, "-i", `${url}/`);
    assert.match(first, /^HTTP\/1\.1 50[24] /);
    assert.match(first, /l5d-proxy-error: no endpoint could be reached in time/);
    const waited = Date.now() - began;
    assert.ok(waited > 2_500 && waited < 4_500, `failed after ${waited} ms`);
    const again = Date.now();
    assert.match(await curl(client.pod, "-i", `${url}/`), /^HTTP\/1\.1 504 /);
    assert.ok(Date.now() - again < 1_000);
    assert.ok((await sum(client.proxy, "outbound_http_errors_total", 'error="failfast"')) >= 2);
    await mesh.startApplication(two, "two");
    await sleep(2_000);
    assert.equal(await curl(client.pod, `${url}/`), "hello from two\n");
  });
});
