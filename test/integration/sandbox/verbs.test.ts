import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";

const main = resolve(import.meta.dirname, "../../../runtime/sandbox/main.ts");

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** The command line as people and scripts use it. */
describe("the sandbox's verbs", () => {
  let home: string;

  before(() => {
    home = mkdtempSync(join(tmpdir(), "weft-verbs-"));
  });
  after(async () => {
    await run("down");
    rmSync(home, { recursive: true, force: true });
  });

  function run(
    verb: string,
    env: Record<string, string> = {},
    command: readonly string[] = [process.execPath],
  ): Promise<Result> {
    const began = performance.now();
    return new Promise((done, fail) => {
      const [program = "", ...argv] = [...command, main, verb];
      const child = spawn(program, argv, { env: { ...process.env, WEFT_SANDBOX_HOME: home, ...env } });
      let stdout = "";
      let stderr = "";
      child.stdout.on("data", (chunk: Buffer) => {
        stdout += chunk.toString();
      });
      child.stderr.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      child.on("error", fail);
      child.on("close", (code) => done({ code, stdout, stderr, ms: performance.now() - began }));
    });
  }
  const served = (): number[] =>
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          const text = readFileSync(`/proc/${pid}/environ`, "utf8");
          return text.includes(`WEFT_SANDBOX_HOME=${home}`);
        } catch {
          // It ended meanwhile.
          return false;
        }
      })
      .map(Number);

  it("env and status say that none is up", async () => {
    for (const verb of ["env", "status"]) {
      const { code, stdout, stderr } = await run(verb);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, /^No sandbox is up \(.*\)\. Start one with: npm run sandbox -- up\n$/);
    }
    assert.equal((await run("down")).code, 0, "what is not there is down");
  });

  it("up starts one, detached, and prints how to use it", async () => {
    const { code, stdout, ms } = await run("up");
    assert.equal(code, 0);
    assert.equal(stdout, `export KUBECONFIG=${home}/kubeconfig\n`);
    assert.ok(ms < 10_000, `took ${ms} ms`);
    assert.match(readFileSync(join(home, "kubeconfig"), "utf8"), /current-context: weft-sandbox/);
  });

  it("a second up says that it is up already, and gives the same", async () => {
    const before = readFileSync(join(home, "kubeconfig"), "utf8");
    const { code, stdout, stderr } = await run("up");
    assert.equal(code, 0);
    assert.equal(stdout, `export KUBECONFIG=${home}/kubeconfig\n`);
    assert.match(stderr, /already up/);
    assert.equal(readFileSync(join(home, "kubeconfig"), "utf8"), before);
    assert.equal((await run("env")).stdout, stdout);
  });

  it("status shows nodes", async () => {
    const { code, stdout } = await run("status");
    assert.equal(code, 0);
    assert.match(stdout, /^up: https:\/\/127\.0\.0\.1:\d+, process \d+, \d+ MiB$/m);
    assert.match(stdout, /^node \S+: Ready$/m);
  });

  it("down leaves nothing", async () => {
    assert.ok(served().length > 0);
    const { code } = await run("down");
    assert.equal(code, 0);
    assert.deepEqual(served(), []);
    assert.equal(existsSync(join(home, "kubeconfig")), false);
    assert.equal(existsSync(home), false);
  });

  it("down also clears what a killed one left, and up starts anew", async () => {
    assert.equal((await run("up")).code, 0);
    const { pid } = JSON.parse(readFileSync(join(home, "server.json"), "utf8")) as { pid: number };
    process.kill(pid, "SIGKILL");
    const again = await run("up");
    assert.equal(again.code, 0, again.stderr);
    assert.equal((await run("status")).code, 0);
    assert.equal((await run("down")).code, 0);
    assert.deepEqual(served(), []);
  });

  it("says who it needs to be, and what it can do", async () => {
    const { code, stderr } = await run("up", { HOME: tmpdir() }, [
      "setpriv",
      "--reuid=65534",
      "--clear-groups",
      process.execPath,
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /takes root\. Run: sudo -E env PATH=\$PATH npm run sandbox -- up/);
    const unknown = await run("sideways");
    assert.equal(unknown.code, 64);
    assert.equal(unknown.stderr, "usage: npm run sandbox -- up | down | env | status\n");
  });
});
