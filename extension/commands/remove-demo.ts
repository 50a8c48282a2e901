/** Remove Demo: its namespace, with all that is in it. */
import { window } from "vscode";
import { applyRemoveDemo, planRemoveDemo } from "../../runtime/mesh/demo.ts";
import type { Weft } from "../container.ts";
import { runWithProgress } from "./run-with-progress.ts";

export async function removeDemo(weft: Weft): Promise<void> {
  const session = weft.connection.requireSession();
  const where = session.context.name;
  const plan = await planRemoveDemo(session.client);
  if (plan.objects.length === 0) {
    void window.showInformationMessage(`The demo is not on "${where}".`);
    return;
  }
  const detail = "Namespace weft-demo is deleted with all that is in it.";
  const agreed = await window.showWarningMessage(
    `Remove the demo from "${where}"?`,
    { modal: true, detail },
    "Remove Demo",
  );
  if (agreed === undefined) return;
  await runWithProgress(weft, session, `Removing the demo from "${where}"`, (run) =>
    applyRemoveDemo(session.client, plan, run),
  );
  void window.showInformationMessage(`The demo is gone from "${where}".`);
}
