import { MeshError } from "../../mesh/errors.ts";
import { applyUninject } from "../../mesh/inject.ts";
import type { UninstallPlan } from "../../mesh/types.ts";
import { planUninjectAll } from "../../mesh/uninject-all.ts";
import { applyUninstall, planUninstall } from "../../mesh/uninstall.ts";
import { agreed, withProgress } from "../change.ts";
import { type Command, changeHelp, changeOptions, clusterHelp, clusterOptions, type Invocation } from "../command.ts";
import { formatInjectPlan, nameOf } from "../format/inject-lines.ts";
import { formatPlan } from "../format/plan-lines.ts";

export const uninstall: Command = {
  usage: "[flags]",
  summary: "Take the mesh off a cluster; nothing of it is left",
  options: {
    ...clusterOptions,
    ...changeOptions,
    uninject: { type: "boolean" },
    force: { type: "boolean", short: "f" },
    "dry-run": { type: "boolean" },
  },
  help: {
    "--uninject": "first take the proxies away; what carries one restarts",
    "-f, --force": "leave proxies where they are",
    "--dry-run": "show the plan, change nothing",
    ...changeHelp,
    ...clusterHelp,
  },

  async run(invocation) {
    const { terminal, flags } = invocation;
    const connection = await invocation.connect();
    const { client, controlPlaneNamespace } = connection;
    const plan = await planUninstall(client, { namespace: controlPlaneNamespace });
    if (plan.objects.length === 0) {
      terminal.print("Weft is not installed: there is nothing to do.");
      return 0;
    }
    terminal.print(formatPlan(plan));
    for (const ref of plan.meshed) terminal.print(`  ${nameOf(ref)} carries a proxy`);
    if (flags.is("dry-run")) return 0;
    const uninjects = await wantsUninject(invocation, plan);
    if (!(await agreed(invocation, connection, `${uninjects ? "Uninject, then uninstall" : "Uninstall"} Weft`)))
      return 1;
    if (uninjects) {
      for (const each of await planUninjectAll(client, { controlPlane: controlPlaneNamespace })) {
        terminal.print(`${nameOf(each.target)}\n${formatInjectPlan(each)}`);
        await withProgress(invocation, (run) => applyUninject(client, each, run));
      }
    }
    await withProgress(invocation, (run) => applyUninstall(client, plan, run));
    terminal.print("Weft is uninstalled: nothing of it is left.");
    return 0;
  },
};

async function wantsUninject({ flags, terminal, signal }: Invocation, plan: UninstallPlan): Promise<boolean> {
  if (flags.is("uninject")) return true;
  if (plan.meshed.length === 0 || flags.is("force")) return false;
  if (terminal.interactive && !flags.is("yes")) {
    return await terminal.confirm("Take their proxies away first? They restart.", signal);
  }
  throw new MeshError(
    `${plan.meshed.length} workloads still carry a proxy`,
    "--uninject takes them away first (they restart), --force leaves them where they are.",
  );
}
