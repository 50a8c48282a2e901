/** The sandbox's process: serves until it is told to end, and leaves nothing. */
import { writeFileSync } from "node:fs";
import { startCluster } from "./cluster.ts";
import { createSandboxNode } from "./node/node.ts";
import { makeHome, type SandboxState, writeServer } from "./state.ts";

/** @throws where it cannot start */
export async function serve(state: SandboxState, port: number): Promise<void> {
  const log = (line: string): void => console.log(`${new Date().toISOString()} ${line}`);
  const report = (error: unknown): void => log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  makeHome(state);
  writeServer(state);
  const node = await createSandboxNode({ home: state.home, log });
  const cluster = await startCluster({ node, port, report });
  writeFileSync(state.kubeconfig, cluster.kubeconfig, { mode: 0o600 });
  log(`serving ${cluster.server}`);

  let ending = false;
  const end = (code: number): void => {
    if (ending) return;
    ending = true;
    cluster
      .stop()
      .catch((error: unknown) => {
        report(error);
        code = 1;
      })
      .then(() => process.exit(code));
  };
  process.on("SIGTERM", () => end(0));
  process.on("SIGINT", () => end(0));
  process.on("uncaughtException", (error) => {
    report(error);
    end(1);
  });
  // `up` waits for this word, then leaves.
  process.send?.("ready");
}
