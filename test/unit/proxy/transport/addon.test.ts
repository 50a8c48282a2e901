/** The native addon as it is compiled, in this process. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { getHeapCodeStatistics } from "node:v8";
import { loadAddon, type NativeAddon } from "../../../../runtime/proxy/transport/original-destination.ts";

const EBADF = -9;
const source = resolve(import.meta.dirname, "../../../../runtime/proxy/transport/native/original-dst.c");

describe("the native addon", { skip: process.platform !== "linux" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-addon-"));
  let addon: NativeAddon;
  before(() => {
    const file = join(folder, "addon.node");
    const headers = join(dirname(dirname(process.execPath)), "include/node");
    execFileSync("cc", [
      "-shared",
      "-fPIC",
      "-O2",
      "-nostdlib",
      "-ffreestanding",
      "-fno-stack-protector",
      `-I${headers}`,
      source,
      "-o",
      file,
    ]);
    addon = loadAddon(file);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("sets a user time-out that the kernel takes, and says what it refuses", async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    try {
      assert.equal(addon.setUserTimeout(fdOf(server), 30_000), 0);
      assert.equal(addon.setUserTimeout(1 << 20, 30_000), EBADF);
      assert.throws(() => addon.setUserTimeout(3, "soon" as unknown as number), TypeError);
    } finally {
      server.close();
    }
  });

  test("knows no original destination where nothing was redirected", () => {
    assert.equal(addon.originalDestination(1 << 20), undefined);
  });

  test("collects garbage and lets bytecode go, which is made again when it is run", () => {
    const text = Array.from({ length: 2_000 }, (_, n) => `total += ${n} * factor;`).join("");
    const sum = new Function("factor", `let total = 0; ${text} return total;`) as (factor: number) => number;
    const held = new WeakRef({ some: "garbage" });
    assert.equal(sum(1), 1_999_000);
    const before = getHeapCodeStatistics().bytecode_and_metadata_size;
    return new Promise<void>((done) => setImmediate(done)).then(() => {
      assert.equal(addon.collectGarbage(), true);
      assert.equal(held.deref(), undefined);
      const left = getHeapCodeStatistics().bytecode_and_metadata_size;
      assert.ok(left < before / 2, `${left} of ${before} bytes are left`);
      assert.equal(sum(2), 3_998_000);
    });
  });
});

function fdOf(server: Server): number {
  const { _handle } = server as unknown as { _handle: { fd: number } };
  return _handle.fd;
}
