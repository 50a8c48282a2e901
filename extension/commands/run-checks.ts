/** Run Checks: the cluster, the control plane, the proxies; each finding with its next step. */
import { commands } from "vscode";
import type { Weft } from "../container.ts";

export async function runChecksCommand(weft: Weft): Promise<void> {
  const session = weft.connection.requireSession();
  await commands.executeCommand("weft.checks.focus");
  await weft.checks.run(session);
}
