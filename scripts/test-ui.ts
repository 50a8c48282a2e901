/**
 * `npm run test:ui`: packages the extension and drives it in a real browser on a real VS Code, with screenshots in
 * test/ui/screenshots. On the cluster that KUBECONFIG names, otherwise on a sandbox of its own. The mesh is installed, and
 * taken off again. Ends with one line: N passed, N failed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChromium } from "../test/ui/support/browser.ts";
import { packageExtension } from "./package.ts";
import { installCodeServer } from "./support/code-server.ts";
import { close, runTests, type Tally } from "./support/run-tests.ts";
import { testImages } from "./support/test-images.ts";
import { withSandbox } from "./support/with-sandbox.ts";

const STEP_TIMEOUT_MS = 900_000;

const scratch = mkdtempSync(join(tmpdir(), "weft-vsix-"));
try {
  findChromium();
  await installCodeServer({ log: console.log });
  const { path, bytes } = await packageExtension({ out: join(scratch, "weft.vsix") });
  console.log(`VSIX: ${(bytes / 1024 / 1024).toFixed(2)} MB`);
  const run = async (env: Record<string, string>): Promise<Tally> =>
    await runTests({
      title: "the extension in a real window",
      files: ["test/ui/**/*.test.ts"],
      concurrency: 1,
      timeoutMs: STEP_TIMEOUT_MS,
      env: { ...env, ...(await testImages({ ...process.env, ...env })), WEFT_TEST_VSIX: path },
    });
  const own = process.env["KUBECONFIG"] ?? "";
  close(own === "" ? await withSandbox(run) : await run({ KUBECONFIG: own }));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  close({ passed: 0, failed: 1 });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
