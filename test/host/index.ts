/**
 * Runs inside a real extension host: `run` is what VS Code calls (`extensionTestsPath`), whether code-server started it
 * (`npm run test:host`) or @vscode/test-electron (`npm run test:electron`). Bundled to dist/test/host.cjs.
 */
import Mocha from "mocha";
import { activationSuite } from "./activation.ts";
import { clusterSuite } from "./cluster.ts";
import { treeSuite } from "./tree.ts";

/** Generous: the machine that runs this may have other things to do. */
const TIMEOUT_MS = 60_000;

export function run(): Promise<void> {
  const mocha = new Mocha({ ui: "bdd", timeout: TIMEOUT_MS, color: false, reporter: "spec" });
  const pattern = process.env["WEFT_TEST_GREP"];
  if (pattern !== undefined) mocha.grep(new RegExp(pattern));
  // The suites are in this bundle, not in files that mocha would load.
  mocha.suite.emit("pre-require", globalThis as unknown as Mocha.MochaGlobals, "", mocha);
  for (const suite of [activationSuite, clusterSuite, treeSuite]) suite();
  return new Promise((resolve, reject) => {
    mocha.run((failures) => {
      if (failures === 0) resolve();
      else reject(new Error(`${failures} failed`));
    });
  });
}
