import { applyDemo, applyRemoveDemo, planDemo, planRemoveDemo, scaleUnmeshedClient } from "../../mesh/demo.ts";
import { DEMO_NAMESPACE } from "../../mesh/demo-objects.ts";
import { agreed, withProgress } from "../change.ts";
import { type Command, changeHelp, changeOptions, clusterHelp, clusterOptions, type Invocation } from "../command.ts";
import { UsageError } from "../errors.ts";
import { formatPlan } from "../format/plan-lines.ts";
import { runtimeFolder } from "../runtime-folder.ts";

export const demo: Command = {
  usage: "up | down | unmeshed-client on | unmeshed-client off [flags]",
  summary: `A small system of agents with traffic of its own, in namespace ${DEMO_NAMESPACE}`,
  details: "unmeshed-client calls the gateway without a proxy: the gateway's mTLS becomes partial.",
  options: { ...clusterOptions, ...changeOptions, "node-image": { type: "string" } },
  help: { "--node-image IMAGE": "runs the agents; default the mesh's own", ...changeHelp, ...clusterHelp },

  async run(invocation) {
    const words = invocation.positionals.join(" ");
    switch (words) {
      case "up":
        return await up(invocation);
      case "down":
        return await down(invocation);
      case "unmeshed-client on":
      case "unmeshed-client off":
        return await scale(invocation, words.endsWith("on") ? 1 : 0);
      default:
        throw new UsageError(`weft demo up, down, unmeshed-client on or off; not "${words}"`);
    }
  },
};

async function up(invocation: Invocation): Promise<number> {
  const connection = await invocation.connect();
  const { client, controlPlaneNamespace } = connection;
  const nodeImage = invocation.flags.text("node-image");
  const plan = await planDemo(client, {
    runtimeFolder: runtimeFolder(),
    controlPlane: controlPlaneNamespace,
    ...(nodeImage === undefined ? {} : { nodeImage }),
  });
  invocation.terminal.print(formatPlan(plan));
  const changes = plan.objects.some(({ action }) => action !== "unchanged");
  if (changes && !(await agreed(invocation, connection, "Put the demo up"))) return 1;
  await withProgress(invocation, (run) => applyDemo(client, plan, run));
  invocation.terminal.print(`The demo runs: weft stat svc -n ${DEMO_NAMESPACE}`);
  return 0;
}

async function down(invocation: Invocation): Promise<number> {
  const connection = await invocation.connect();
  const plan = await planRemoveDemo(connection.client);
  if (plan.objects.length === 0) {
    invocation.terminal.print("The demo is not there: there is nothing to do.");
    return 0;
  }
  invocation.terminal.print(formatPlan(plan));
  if (!(await agreed(invocation, connection, "Take the demo down"))) return 1;
  await withProgress(invocation, (run) => applyRemoveDemo(connection.client, plan, run));
  return 0;
}

async function scale(invocation: Invocation, replicas: 0 | 1): Promise<number> {
  const connection = await invocation.connect();
  const what = replicas === 1 ? "Start the demo's client without a proxy" : "Stop the demo's client without a proxy";
  if (!(await agreed(invocation, connection, what))) return 1;
  await withProgress(invocation, (run) => scaleUnmeshedClient(connection.client, replicas, run));
  return 0;
}
