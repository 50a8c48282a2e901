/** Inject: says what will restart and what stays as it is and why, asks once, waits for every rollout. */
import { window } from "vscode";
import { MeshError } from "../../runtime/mesh/errors.ts";
import { applyInject, planInject } from "../../runtime/mesh/inject.ts";
import type { InjectPlan, InjectTarget } from "../../runtime/mesh/types.ts";
import { readConfig } from "../config.ts";
import type { Weft } from "../container.ts";
import { asInjectTarget, chooseInjectTarget } from "./inject-target.ts";
import { workloadLines } from "./plan-words.ts";
import { runWithProgress } from "./run-with-progress.ts";

export async function inject(weft: Weft, _context: unknown, row: unknown): Promise<void> {
  const session = weft.connection.requireSession();
  const target = asInjectTarget(weft.subjectOf(row)) ?? (await chooseInjectTarget(session, "Inject"));
  if (target === undefined) return;
  const controlPlane = readConfig().controlPlaneNamespace;
  const plan = await window.withProgress({ location: { viewId: "weft.workloads" } }, () =>
    planInject(session.client, target, controlPlane === undefined ? {} : { controlPlane }),
  );
  if (plan.refusal !== undefined) throw new MeshError(plan.refusal);
  const what = targetName(target);
  const agreed = await window.showInformationMessage(
    `Inject the mesh into ${what} on "${session.context.name}"?`,
    { modal: true, detail: injectDetail(plan) },
    "Inject",
  );
  if (agreed === undefined) return;
  await runWithProgress(weft, session, `Injecting ${what}`, (run) => applyInject(session.client, plan, run));
  void window.showInformationMessage(`${what} is meshed: ${counted(plan)} restarted with a proxy.`);
}

export function targetName({ kind, namespace, name }: InjectTarget): string {
  return kind === "Namespace" ? `namespace ${name}` : `${kind} ${namespace}/${name}`;
}

export function counted({ restarts }: InjectPlan): string {
  return `${restarts.length} ${restarts.length === 1 ? "workload" : "workloads"}`;
}

export function injectDetail({ restarts, skipped }: InjectPlan): string {
  const parts = [
    restarts.length === 0
      ? "Nothing restarts now; pods that are made from now on are affected."
      : `These restart, one pod after the other:\n${workloadLines(restarts)}`,
    ...(skipped.length === 0
      ? []
      : [
          `These stay as they are:\n${skipped
            .slice(0, 12)
            .map(({ workload, reason }) => `• ${workload.kind} ${workload.namespace}/${workload.name}: ${reason}`)
            .join("\n")}${skipped.length > 12 ? `\nand ${skipped.length - 12} more` : ""}`,
        ]),
  ];
  return parts.join("\n\n");
}
