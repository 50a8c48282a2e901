import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { namePrefix } from "../../../runtime/sandbox/node/network.ts";
import { createSandboxNode, removeSandboxNode } from "../../../runtime/sandbox/node/node.ts";
import { isRoot, server, TestNode, until } from "./support.ts";

const MARK = "weft-clean-up-mark";

/** What of a sandbox is on this machine. */
function traces(home: string): string[] {
  const prefix = namePrefix(home);
  const found = readdirSync("/run/netns").filter((name) => name.startsWith(prefix));
  if (execFileSync("ip", ["-brief", "link"], { encoding: "utf8" }).includes(prefix)) found.push("link");
  if (readFileSync("/proc/mounts", "utf8").includes(home)) found.push("mount");
  if (existsSync(join(home, "pods"))) found.push("folder");
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (command.includes(home) || command.includes(`${MARK}-${prefix}`)) found.push(command.replaceAll("\0", " "));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

describe("what the sandbox's node leaves", { skip: isRoot ? false : "needs root" }, () => {
  test("stopped, nothing: though pods run, crash and end at that time", async (t) => {
    const node = await TestNode.start();
    t.after(() => node.stop());
    node.create("running", { containers: [{ ...server(8080, `${MARK}-${namePrefix(node.home)}`) }] });
    node.create("stubborn", {
      containers: [{ name: "app", command: ["sh", "-c", "trap '' TERM; sleep 1000 & wait"] }],
    });
    node.create("crashing", { containers: [{ name: "app", command: ["false"] }] });
    node.create("waiting", {
      containers: [{ name: "app", command: ["true"] }],
      volumes: [{ name: "v", secret: { secretName: "absent" } }],
    });
    await node.ready("running");
    assert.ok(traces(node.home).length >= 5);
    node.create("starting", { containers: [server(8080, "starting")] });
    node.api.deletePod("team", "stubborn", 30);
    await node.node.stop();
    assert.deepEqual(traces(node.home), []);
  });

  test("killed, no process; its namespaces and links go with the next start of any sandbox", async (t) => {
    const program = `
      import { TestNode, server } from ${JSON.stringify(join(import.meta.dirname, "support.ts"))};
      import { namePrefix } from ${JSON.stringify(join(import.meta.dirname, "../../../runtime/sandbox/node/network.ts"))};
      const node = await TestNode.start();
      node.create("running", { containers: [server(8080, "${MARK}-" + namePrefix(node.home))] });
      await node.ready("running");
      console.log(node.home);`;

    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const home = (
      await new Promise<string>((done) => child.stdout.once("data", (bytes) => done(String(bytes))))
    ).trim();
    assert.ok(traces(home).some((trace) => trace.includes(MARK)));
    child.kill("SIGKILL");
    await until("no process is left", () => !traces(home).some((trace) => trace.includes(MARK)));
    assert.ok(traces(home).length > 0, "namespaces are still there");

    const other = await TestNode.start();
    t.after(() => other.stop());
    assert.deepEqual(traces(home), []);
    rmSync(home, { recursive: true, force: true });
  });

  test("a home is one living sandbox's; removing what is not there is no error", async (t) => {
    const home = mkdtempSync(join(tmpdir(), "weft-sandbox-home-"));
    await removeSandboxNode(home);
    const node = await createSandboxNode({ home, log: () => {} });
    t.after(() => node.stop());
    const again = `import { createSandboxNode } from ${JSON.stringify(join(import.meta.dirname, "../../../runtime/sandbox/node/node.ts"))};
      await createSandboxNode({ home: ${JSON.stringify(home)}, log: () => {} }).then(() => console.log("made"), (error) => console.log(error.message));`;
    const said = execFileSync(process.execPath, ["--input-type=module-typescript", "-e", again], { encoding: "utf8" });
    assert.match(said, /runs already \(process \d+\)/);
    await node.stop();
    assert.deepEqual(traces(home), []);
    rmSync(home, { recursive: true });
  });
});
