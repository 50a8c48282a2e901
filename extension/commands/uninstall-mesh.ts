/** Uninstall Mesh: lists who still carries a proxy, offers to take it from them first, then removes all that is ours. */
import { type ExtensionContext, window } from "vscode";
import { applyUninject, planUninject } from "../../runtime/mesh/inject.ts";
import { injectedTargets } from "../../runtime/mesh/meshed.ts";
import type { InjectTarget, Run } from "../../runtime/mesh/types.ts";
import { applyUninstall, planUninstall } from "../../runtime/mesh/uninstall.ts";
import type { Session } from "../cluster/session.ts";
import { readConfig } from "../config.ts";
import type { Weft } from "../container.ts";
import { showPlan } from "../panels/plan-panel.ts";
import { planWords, workloadLines } from "./plan-words.ts";
import { runWithProgress } from "./run-with-progress.ts";

const UNINJECT_FIRST = "Uninject and Uninstall";
const UNINSTALL = "Uninstall";
const UNINSTALL_ANYWAY = "Uninstall Anyway";

export async function uninstallMesh(weft: Weft, context: ExtensionContext): Promise<void> {
  const session = weft.connection.requireSession();
  const where = session.context.name;
  const namespace = readConfig().controlPlaneNamespace;
  const options = namespace === undefined ? {} : { namespace };
  const plan = await window.withProgress({ location: { viewId: "weft.services" } }, () =>
    planUninstall(session.client, options),
  );
  if (plan.objects.length === 0) {
    void window.showInformationMessage(`There is nothing of Weft on "${where}".`);
    return await weft.connection.refresh();
  }
  const panel = showPlan({ title: "Uninstall Mesh", context: where, plan, extensionUri: context.extensionUri });
  const { meshed } = plan;
  const detail =
    meshed.length === 0
      ? planWords(plan)
      : `${planWords(plan)}\n\nThese still carry a proxy; uninjecting restarts them:\n${workloadLines(meshed)}\n\n${plan.notes.join("\n")}`;
  const agreed = await window.showWarningMessage(
    `Uninstall Weft from "${where}"?`,
    { modal: true, detail },
    ...(meshed.length === 0 ? [UNINSTALL] : [UNINJECT_FIRST, UNINSTALL_ANYWAY]),
  );
  if (agreed === undefined) return panel.close();
  try {
    if (agreed === UNINJECT_FIRST) await uninjectAll(weft, session);
    // What was uninjected needs no trust bundle any more: look again at what is there.
    const now = agreed === UNINJECT_FIRST ? await planUninstall(session.client, options) : plan;
    await runWithProgress(
      weft,
      session,
      `Uninstalling Weft from "${where}"`,
      (run) => applyUninstall(session.client, now, run),
      (event) => panel.progress(event),
    );
  } catch (error) {
    panel.failed(error);
    throw error;
  } finally {
    await weft.connection.refresh(true);
  }
  panel.done();
  void window.showInformationMessage(`Weft is gone from "${where}": nothing of it is left.`);
}

async function uninjectAll(weft: Weft, session: Session): Promise<void> {
  const targets = await injectedTargets(session.client);
  await runWithProgress(weft, session, `Uninjecting ${targets.map(nameOf).join(", ")}`, async (run) => {
    for (const target of targets) await uninject(session, target, run);
  });
}

async function uninject(session: Session, target: InjectTarget, run: Run): Promise<void> {
  await applyUninject(session.client, await planUninject(session.client, target), run);
}

function nameOf({ kind, namespace, name }: InjectTarget): string {
  return kind === "Namespace" ? name : `${namespace}/${name}`;
}
