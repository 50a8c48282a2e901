import { getEdges } from "../../mesh/edges.ts";
import { requireNamespace } from "../../mesh/namespaces.ts";
import type { EdgeList } from "../../model/statistics.ts";
import type { Command } from "../command.ts";
import { edgesJson, formatEdges } from "../format/edge-table.ts";
import { parseResource, type ResourceArgument } from "../resource-argument.ts";
import { statHelp, statOptions, windowOf } from "./stat.ts";

export const edges: Command = {
  usage: "[RESOURCE [NAME]] [flags]",
  summary: "Who calls whom, and whether with mTLS",
  details: "With RESOURCE only what has such an end: weft edges deploy/web -n shop",
  options: statOptions,
  help: statHelp,

  async run({ flags, positionals, terminal, signal, connect }) {
    const format = flags.choice("output", ["table", "wide", "json"], "table");
    const resource = positionals.length === 0 ? undefined : parseResource(positionals);
    const windowMs = windowOf(flags);
    const { client, namespace } = await connect();
    const where: { namespace?: string } = flags.is("all-namespaces")
      ? {}
      : { namespace: flags.text("namespace") ?? namespace };
    const list = withEnd(await getEdges(client, { ...where, windowMs }, signal), resource);
    if (list.items.length === 0 && where.namespace !== undefined) await requireNamespace(client, where.namespace);
    if (format === "json") terminal.print(edgesJson(list));
    else terminal.print(formatEdges(list, { wide: format === "wide" }));
    return 0;
  },
};

function withEnd(list: EdgeList, resource: ResourceArgument | undefined): EdgeList {
  if (resource === undefined) return list;
  const matches = ({ kind, name }: EdgeList["items"][number]["source"]) =>
    kind === resource.kind && (resource.name === undefined || name === resource.name);
  return { ...list, items: list.items.filter(({ source, destination }) => matches(source) || matches(destination)) };
}
