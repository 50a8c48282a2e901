/**
 * `npm test`: types, style and rooms, then unit and integration tests, then contract and end-to-end tests on the sandbox.
 * Ends with one line: N passed, N failed.
 *
 *   node scripts/test.ts [group …]   only these: check, unit, integration, sandbox
 */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { build } from "./build.ts";
import { onPath } from "./support/preflight.ts";
import { close, runTests, sum, type Tally } from "./support/run-tests.ts";
import { withSandbox } from "./support/with-sandbox.ts";

const root = resolve(import.meta.dirname, "..");

const groups: Readonly<Record<string, () => Promise<Tally>>> = {
  check: async () => sum(["check:types", "check:lint", "check:rooms", "check:api"].map(script)),
  unit: () => runTests({ title: "unit", files: ["test/unit/**/*.test.ts"] }),
  integration: () => runTests({ title: "integration", files: ["test/integration/**/*.test.ts"] }),
  sandbox: () =>
    withSandbox(async (env) =>
      sum([
        await runTests({
          title: "contract, on the sandbox",
          files: ["test/contract/**/*.test.ts"],
          env,
          concurrency: 1,
        }),
        // kubectl is no part of the project: where there is one, it is tried.
        ...(onPath("kubectl")
          ? [await runTests({ title: "kubectl, on the sandbox", files: ["test/kubectl/*.test.ts"], env })]
          : []),
        await runTests({
          title: "end to end, on the sandbox",
          files: ["test/cluster/*.test.ts"],
          env,
          concurrency: 1,
          timeoutMs: 300_000,
        }),
      ]),
    ),
};

/** An npm script as one test. */
function script(name: string): Tally {
  console.log(`\n== ${name}`);
  const { status } = spawnSync("npm", ["run", "--silent", name], { cwd: root, stdio: "inherit" });
  return status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in groups));
if (unknown.length > 0) {
  console.error(`no such group: ${unknown.join(", ")} (there are ${Object.keys(groups).join(", ")})`);
  process.exitCode = 64;
} else {
  build();
  const tallies: Tally[] = [];
  for (const [name, run] of Object.entries(groups)) {
    if (wanted.length === 0 || wanted.includes(name)) tallies.push(await run());
  }
  close(sum(tallies));
}
