import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Tally } from "./run-tests.ts";
import { sandboxDown, sandboxUp } from "./sandbox-process.ts";

/** Starts a sandbox of its own (state in a temporary folder), hands its environment to `use`, and ends it. */
export async function withSandbox(use: (env: Record<string, string>) => Promise<Tally>): Promise<Tally> {
  const home = mkdtempSync(join(tmpdir(), "weft-sandbox-"));
  const env = { ...process.env, WEFT_SANDBOX_HOME: home };
  try {
    return await use({ KUBECONFIG: sandboxUp(env), WEFT_TEST_CLUSTER: "sandbox" });
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return { passed: 0, failed: 1 };
  } finally {
    sandboxDown(env);
    rmSync(home, { recursive: true, force: true });
  }
}
