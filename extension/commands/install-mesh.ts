/** Install Mesh: plan, one question that names the context, apply with progress, checks. */
import { commands, type ExtensionContext, Uri, window } from "vscode";
import { applyInstall, planInstall } from "../../runtime/mesh/install.ts";
import type { InstallOptions } from "../../runtime/mesh/types.ts";
import { readConfig } from "../config.ts";
import type { Weft } from "../container.ts";
import { command } from "../contributions.ts";
import { showPlan } from "../panels/plan-panel.ts";
import { tally } from "../views/check-rows.ts";
import { changesAnything, planWords } from "./plan-words.ts";
import { runWithProgress } from "./run-with-progress.ts";

export async function installMesh(weft: Weft, context: ExtensionContext): Promise<void> {
  const session = weft.connection.requireSession();
  const where = session.context.name;
  const plan = await window.withProgress({ location: { viewId: "weft.services" } }, () =>
    planInstall(session.client, installOptions(context)),
  );
  if (!changesAnything(plan)) {
    await weft.checks.run(session);
    void window.showInformationMessage(`Weft on "${where}" is up to date: nothing to change.`);
    return;
  }
  const panel = showPlan({ title: "Install Mesh", context: where, plan, extensionUri: context.extensionUri });
  const install = "Install";
  const agreed = await window.showInformationMessage(
    `Install Weft on "${where}"?`,
    { modal: true, detail: [planWords(plan), `Server: ${session.context.cluster.server}`, ...plan.notes].join("\n\n") },
    install,
  );
  if (agreed !== install) return panel.close();
  try {
    await runWithProgress(
      weft,
      session,
      `Installing Weft on "${where}"`,
      (run) => applyInstall(session.client, plan, run),
      (event) => panel.progress(event),
    );
  } catch (error) {
    panel.failed(error);
    throw error;
  } finally {
    await weft.connection.refresh(true);
  }
  panel.done();
  const results = await weft.checks.run(session);
  void offerNextStep(
    `Weft runs on "${where}". Checks: ${tally(results)}.`,
    results.some(({ result }) => result === "error"),
  );
}

async function offerNextStep(message: string, failing: boolean): Promise<void> {
  const demo = "Install Demo";
  const checks = "Show Checks";
  const show = failing ? window.showWarningMessage : window.showInformationMessage;
  const chosen = await show(message, ...(failing ? [checks] : [demo, checks]));
  if (chosen === demo) await commands.executeCommand(command.installDemo);
  if (chosen === checks) await commands.executeCommand("weft.checks.focus");
}

/** Where the programs lie that the extension brings along, and what the settings decide. */
export function installOptions(context: ExtensionContext): InstallOptions {
  const { controlPlaneNamespace, nodeImage, initImage } = readConfig();
  return {
    runtimeFolder: Uri.joinPath(context.extensionUri, "dist", "runtime").fsPath,
    ...(controlPlaneNamespace === undefined ? {} : { namespace: controlPlaneNamespace }),
    ...(nodeImage === undefined ? {} : { nodeImage }),
    ...(initImage === undefined ? {} : { initImage }),
  };
}
