import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";

const main = join(import.meta.dirname, "../../../runtime/controller/main.ts");

describe("the control plane's program", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, ...args], { encoding: "utf8", timeout: 20_000 });

  it("says why it ends: no configuration", () => {
    const { status, stdout } = run("controller");
    assert.equal(status, 64);
    assert.match(stdout, /ERROR controller: the process ends reason="\/weft\/config\/config.json cannot be read/);
  });
  it("says which processes there are", () => {
    const { status, stdout } = run("nothing");
    assert.equal(status, 64);
    assert.match(stdout, /no process "nothing"; there are: controller, viz/);
  });
});
