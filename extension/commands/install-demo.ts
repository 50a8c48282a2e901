/** Install Demo: a small system of agents that call each other, meshed. */
import { type ExtensionContext, window } from "vscode";
import { applyDemo, planDemo } from "../../runtime/mesh/demo.ts";
import type { Weft } from "../container.ts";
import { installOptions } from "./install-mesh.ts";
import { changesAnything, planWords } from "./plan-words.ts";
import { runWithProgress } from "./run-with-progress.ts";

export async function installDemo(weft: Weft, context: ExtensionContext): Promise<void> {
  const session = weft.connection.requireSession();
  const where = session.context.name;
  const { runtimeFolder, nodeImage, namespace } = installOptions(context);
  const plan = await planDemo(session.client, {
    runtimeFolder,
    ...(nodeImage === undefined ? {} : { nodeImage }),
    ...(namespace === undefined ? {} : { controlPlane: namespace }),
  });
  if (changesAnything(plan)) {
    const detail = `Namespace weft-demo: a gateway, a planner, two tools, a store and the load on them.\n\n${planWords(plan)}`;
    const agreed = await window.showInformationMessage(
      `Install the demo on "${where}"?`,
      { modal: true, detail },
      "Install Demo",
    );
    if (agreed === undefined) return;
  }
  await runWithProgress(weft, session, `Installing the demo on "${where}"`, (run) =>
    applyDemo(session.client, plan, run),
  );
  void window.showInformationMessage(
    `The demo runs in namespace weft-demo of "${where}"; figures come within seconds.`,
  );
}
