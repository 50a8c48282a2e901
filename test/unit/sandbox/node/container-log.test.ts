import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ContainerLog, type ReadLogOptions } from "../../../../runtime/sandbox/node/container-log.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-container-log-"));
after(() => rmSync(folder, { recursive: true }));

async function read(log: ContainerLog, run: number, options: ReadLogOptions = {}): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of log.read(run, options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("a container's log", () => {
  test("its end, by lines and by bytes", async () => {
    const log = new ContainerLog(join(folder, "ends"));
    const path = await log.begin(0);
    assert.equal(await read(log, 0), "");
    writeFileSync(path, "one\ntwo\nthree\n");
    assert.equal(await read(log, 0), "one\ntwo\nthree\n");
    assert.equal(await read(log, 0, { tailLines: 2 }), "two\nthree\n");
    assert.equal(await read(log, 0, { tailLines: 9 }), "one\ntwo\nthree\n");
    assert.equal(await read(log, 0, { tailLines: 0 }), "");
    assert.equal(await read(log, 0, { tailLines: 2, limitBytes: 5 }), "two\nt");
    appendFileSync(path, "unfinished");
    assert.equal(await read(log, 0, { tailLines: 2 }), "three\nunfinished");
    // Lines longer than what is read at once.
    writeFileSync(path, `first\n${"x".repeat(200_000)}\n${"y".repeat(100_000)}\n`);
    assert.equal((await read(log, 0, { tailLines: 2 })).length, 300_002);
    assert.equal((await read(log, 0, { tailLines: 1 })).length, 100_001);
  });

  test("the run before is kept, older ones are not", async () => {
    const log = new ContainerLog(join(folder, "runs"));
    for (const run of [0, 1, 2]) writeFileSync(await log.begin(run), `run ${run}`);
    assert.equal(existsSync(log.path(0)), false);
    assert.equal(await read(log, 1), "run 1");
    assert.equal(await read(log, 7), "");
  });

  test("emptied when large, for who follows it too", async () => {
    const log = new ContainerLog(join(folder, "large"));
    const path = await log.begin(0);
    writeFileSync(path, "small\n");
    await log.trim(0);
    assert.equal(await read(log, 0), "small\n");
    writeFileSync(path, "x".repeat(11 * 1024 * 1024));
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const following = read(log, 0, { follow: { ended, signal: new AbortController().signal } });
    await sleep(300);
    await log.trim(0);
    await sleep(50);
    appendFileSync(path, "new\n");
    await sleep(50);
    end();
    assert.ok((await following).endsWith("xnew\n"));
    assert.equal(await read(log, 0), "new\n");
    await log.trim(7);
  });

  test("followed until the run has ended, its last words included, or until nobody listens", async () => {
    const log = new ContainerLog(join(folder, "followed"));
    const path = await log.begin(0);
    writeFileSync(path, "a\n");
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const following = read(log, 0, { follow: { ended, signal: new AbortController().signal } });
    await sleep(50);
    appendFileSync(path, "b\n");
    await sleep(50);
    appendFileSync(path, "c\n");
    end();
    assert.equal(await following, "a\nb\nc\n");

    const listener = new AbortController();
    const abandoned = read(log, 0, { follow: { ended: new Promise(() => {}), signal: listener.signal } });
    await sleep(50);
    listener.abort();
    assert.equal(await abandoned, "a\nb\nc\n");
  });
});
