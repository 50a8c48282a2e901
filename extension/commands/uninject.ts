/** Uninject: takes the proxy away again, with the same care. */
import { window } from "vscode";
import { MeshError } from "../../runtime/mesh/errors.ts";
import { applyUninject, planUninject } from "../../runtime/mesh/inject.ts";
import { readConfig } from "../config.ts";
import type { Weft } from "../container.ts";
import { counted, injectDetail, targetName } from "./inject.ts";
import { asInjectTarget, chooseInjectTarget } from "./inject-target.ts";
import { runWithProgress } from "./run-with-progress.ts";

export async function uninject(weft: Weft, _context: unknown, row: unknown): Promise<void> {
  const session = weft.connection.requireSession();
  const target = asInjectTarget(weft.subjectOf(row)) ?? (await chooseInjectTarget(session, "Uninject"));
  if (target === undefined) return;
  const controlPlane = readConfig().controlPlaneNamespace;
  const plan = await window.withProgress({ location: { viewId: "weft.workloads" } }, () =>
    planUninject(session.client, target, controlPlane === undefined ? {} : { controlPlane }),
  );
  if (plan.refusal !== undefined) throw new MeshError(plan.refusal);
  const what = targetName(target);
  const agreed = await window.showWarningMessage(
    `Take the mesh from ${what} on "${session.context.name}"?`,
    { modal: true, detail: injectDetail(plan) },
    "Uninject",
  );
  if (agreed === undefined) return;
  await runWithProgress(weft, session, `Uninjecting ${what}`, (run) => applyUninject(session.client, plan, run));
  void window.showInformationMessage(`${what} is no longer meshed: ${counted(plan)} restarted without a proxy.`);
}
