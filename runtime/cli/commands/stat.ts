import { MeshError } from "../../mesh/errors.ts";
import { requireNamespace } from "../../mesh/namespaces.ts";
import { getStats, watchStats } from "../../mesh/stat.ts";
import type { StatQuery } from "../../mesh/types.ts";
import { parseDuration } from "../../model/duration.ts";
import { DEFAULT_WINDOW_MS, type StatList } from "../../model/statistics.ts";
import { type Command, clusterHelp, clusterOptions, namespaceHelp, namespaceOptions } from "../command.ts";
import { UsageError } from "../errors.ts";
import type { Flags } from "../flags.ts";
import { formatStats, statsJson } from "../format/stat-table.ts";
import { parseResource, statResource } from "../resource-argument.ts";

export const statOptions = {
  ...clusterOptions,
  ...namespaceOptions,
  "all-namespaces": { type: "boolean", short: "A" },
  "time-window": { type: "string", short: "t" },
  output: { type: "string", short: "o" },
} as const;

export const statHelp: Readonly<Record<string, string>> = {
  "-t, --time-window DURATION": "10s to 1h; default 1m",
  "-o, --output FORMAT": "table, wide or json",
  "-A, --all-namespaces": "of all namespaces",
  ...namespaceHelp,
  ...clusterHelp,
};

export const stat: Command = {
  usage: "RESOURCE [NAME] [flags]",
  summary: "Success rate, requests per second, latencies and mTLS of services and workloads",
  details: "RESOURCE is svc, deploy, sts, ds or pods, alone or with a name: weft stat deploy/web -n shop",
  options: { ...statOptions, watch: { type: "boolean", short: "w" } },
  help: { "-w, --watch": "again after each scrape, until Ctrl-C", ...statHelp },

  async run({ flags, positionals, terminal, signal, connect }) {
    const resource = parseResource(positionals);
    const format = flags.choice("output", ["table", "wide", "json"], "table");
    const windowMs = windowOf(flags);
    const { client, namespace } = await connect();
    const all = flags.is("all-namespaces");
    const query: StatQuery = {
      resource: statResource(resource),
      windowMs,
      ...(all ? {} : { namespace: flags.text("namespace") ?? namespace }),
    };
    const print = (list: StatList): void => {
      const found = named(list, resource.name, query);
      if (format === "json") terminal.print(statsJson(found));
      else if (found.items.length === 0) terminal.print(`There are ${nothing(query)}.`);
      else terminal.print(formatStats(found, { wide: format === "wide", namespaces: all }));
    };
    if (!flags.is("watch")) {
      const list = await getStats(client, query, signal);
      if (list.items.length === 0 && query.namespace !== undefined) await requireNamespace(client, query.namespace);
      print(list);
      return 0;
    }
    for await (const list of watchStats(client, query, signal)) {
      if (terminal.live) terminal.write("\x1b[H\x1b[2J");
      print(list);
    }
    return 0;
  },
};

/** @throws UsageError where it is no duration */
export function windowOf(flags: Flags): number {
  const text = flags.text("time-window");
  if (text === undefined) return DEFAULT_WINDOW_MS;
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined) throw new UsageError(`--time-window is a duration such as 30s or 5m, not "${text}"`);
  return milliseconds;
}

function named(list: StatList, name: string | undefined, query: StatQuery): StatList {
  if (name === undefined) return list;
  const items = list.items.filter((item) => item.name === name);
  if (items.length > 0) return list.items.length === items.length ? list : { ...list, items };
  throw new MeshError(
    `there is no ${name} among the ${nothing(query).replace(/^no /, "")}`,
    "See all of them: leave the name out.",
  );
}

function nothing({ resource, namespace }: StatQuery): string {
  return `no ${resource} ${namespace === undefined ? "in any namespace" : `in namespace ${namespace}`}`;
}
