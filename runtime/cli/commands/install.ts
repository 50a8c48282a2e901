import { collectChecks, DATA_PLANE } from "../../mesh/check.ts";
import { applyInstall, planInstall } from "../../mesh/install.ts";
import type { InstallOptions } from "../../mesh/types.ts";
import { WEFT_VERSION } from "../../mesh/version.ts";
import { agreed, withProgress } from "../change.ts";
import { type Command, changeHelp, changeOptions, clusterHelp, clusterOptions } from "../command.ts";
import type { Flags } from "../flags.ts";
import { formatPlan } from "../format/plan-lines.ts";
import { runtimeFolder } from "../runtime-folder.ts";
import { printAll } from "./check.ts";

export const install: Command = {
  usage: "[flags]",
  summary: "Put the mesh on a cluster, or bring the one that is there up to date",
  details:
    "Shows every object first and asks. Flags that are left out keep what the installation that is there decided.",
  options: {
    ...clusterOptions,
    ...changeOptions,
    "node-image": { type: "string" },
    "init-image": { type: "string" },
    "controller-replicas": { type: "string" },
    "identity-trust-domain": { type: "string" },
    "cluster-domain": { type: "string" },
    "dry-run": { type: "boolean" },
  },
  help: {
    "--node-image IMAGE": "runs proxies and control plane: any with Node 24",
    "--init-image IMAGE": "sets the redirect: any with iptables-restore",
    "--controller-replicas N": "default 1",
    "--identity-trust-domain NAME": "default cluster.local",
    "--cluster-domain NAME": "default cluster.local",
    "--dry-run": "show the plan, change nothing",
    ...changeHelp,
    ...clusterHelp,
  },

  async run(invocation) {
    const { flags, terminal, signal } = invocation;
    const connection = await invocation.connect();
    const { client, controlPlaneNamespace } = connection;
    const plan = await planInstall(client, installOptions(flags, controlPlaneNamespace));
    terminal.print(formatPlan(plan));
    if (flags.is("dry-run")) return 0;
    const changes = plan.objects.some(({ action }) => action !== "unchanged" && action !== "in-cluster");
    if (changes && !(await agreed(invocation, connection, `Install Weft ${WEFT_VERSION}`))) return 1;
    await withProgress(invocation, (run) => applyInstall(client, plan, run));
    const results = await collectChecks(client, { namespace: controlPlaneNamespace, signal });
    printAll(terminal, results, true);
    terminal.print(`Weft ${WEFT_VERSION} is installed in namespace ${controlPlaneNamespace}.`);
    // Pods of the users' that are not well do not make the install one that failed.
    return results.some(({ result, category }) => result === "error" && category !== DATA_PLANE) ? 1 : 0;
  },
};

function installOptions(flags: Flags, namespace: string): InstallOptions {
  const replicas = flags.count("controller-replicas", 1);
  const texts = {
    nodeImage: flags.text("node-image"),
    initImage: flags.text("init-image"),
    trustDomain: flags.text("identity-trust-domain"),
    clusterDomain: flags.text("cluster-domain"),
  };
  const given = Object.fromEntries(Object.entries(texts).filter(([, value]) => value !== undefined));
  return { namespace, runtimeFolder: runtimeFolder(), ...(replicas === undefined ? {} : { replicas }), ...given };
}
