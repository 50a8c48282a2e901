/** `npm run test:electron`: the suite of test/host in desktop VS Code, which @vscode/test-electron downloads. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runTests } from "@vscode/test-electron";
import { build } from "./build.ts";

const root = resolve(import.meta.dirname, "..");

const workspace = mkdtempSync(join(tmpdir(), "weft-electron-"));
build();
try {
  process.exitCode = await runTests({
    extensionDevelopmentPath: root,
    extensionTestsPath: resolve(root, "dist/test/host.cjs"),
    extensionTestsEnv: { KUBECONFIG: join(workspace, "no-such-kubeconfig") },
    launchArgs: ["--disable-extensions", workspace],
    // A VS Code that is here already, where none can be downloaded.
    ...(process.env["VSCODE_EXECUTABLE"] === undefined
      ? {}
      : { vscodeExecutablePath: process.env["VSCODE_EXECUTABLE"] }),
  });
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  rmSync(workspace, { recursive: true, force: true });
}
