import { MeshError } from "../../mesh/errors.ts";
import { applyInject, applyUninject, planInject, planUninject } from "../../mesh/inject.ts";
import { agreed, withProgress } from "../change.ts";
import {
  type Command,
  changeHelp,
  changeOptions,
  clusterHelp,
  clusterOptions,
  type Invocation,
  namespaceHelp,
  namespaceOptions,
} from "../command.ts";
import { formatInjectPlan, nameOf } from "../format/inject-lines.ts";
import { injectTarget, parseResource } from "../resource-argument.ts";

const shared = {
  usage: "ns/NAME | deploy/NAME | sts/NAME | ds/NAME [flags]",
  options: { ...clusterOptions, ...namespaceOptions, ...changeOptions, "dry-run": { type: "boolean" } },
  help: { "--dry-run": "show what would restart, change nothing", ...namespaceHelp, ...changeHelp, ...clusterHelp },
} as const satisfies Partial<Command>;

export const inject: Command = {
  ...shared,
  summary: "Give the pods of a namespace or workload a proxy; they restart",
  run: (invocation) => run(invocation, { verb: "Inject", plan: planInject, apply: applyInject }),
};

export const uninject: Command = {
  ...shared,
  summary: "Take the proxy away again; what carries one restarts",
  run: (invocation) => run(invocation, { verb: "Uninject", plan: planUninject, apply: applyUninject }),
};

interface Way {
  readonly verb: string;
  readonly plan: typeof planInject;
  readonly apply: typeof applyInject;
}

async function run(invocation: Invocation, { verb, plan: planFor, apply }: Way): Promise<number> {
  const { flags, positionals, terminal } = invocation;
  const resource = parseResource(positionals);
  const connection = await invocation.connect();
  const { client, controlPlaneNamespace, namespace } = connection;
  const target = injectTarget(resource, flags.text("namespace") ?? namespace);
  const plan = await planFor(client, target, { controlPlane: controlPlaneNamespace });
  if (plan.refusal !== undefined) throw new MeshError(plan.refusal);
  terminal.print(formatInjectPlan(plan));
  if (flags.is("dry-run")) return 0;
  if (!(await agreed(invocation, connection, `${verb} ${nameOf(target)}`))) return 1;
  await withProgress(invocation, (progress) => apply(client, plan, progress));
  return 0;
}
