import { tap as tapRequests } from "../../mesh/tap.ts";
import type { TapQuery } from "../../mesh/types.ts";
import { type Command, clusterHelp, clusterOptions, namespaceHelp, namespaceOptions } from "../command.ts";
import type { Flags } from "../flags.ts";
import { formatTap } from "../format/tap-lines.ts";
import { parseResource, tapTarget } from "../resource-argument.ts";

const DEFAULT_MAX_RPS = 100;

export const tap: Command = {
  usage: "RESOURCE/NAME [flags]",
  summary: "Live requests of a workload, service, pod or namespace, until Ctrl-C",
  details: "A request is printed when it has ended: its lines req, rsp and end.",
  options: {
    ...clusterOptions,
    ...namespaceOptions,
    "max-rps": { type: "string" },
    method: { type: "string" },
    path: { type: "string" },
    authority: { type: "string" },
    headers: { type: "boolean" },
    limit: { type: "string" },
    output: { type: "string", short: "o" },
  },
  help: {
    "--method METHOD": "only requests with this method",
    "--path PREFIX": "only requests whose path begins so",
    "--authority NAME": "only requests to this authority",
    "--headers": "with headers (-o json); sensitive values are redacted",
    "--max-rps N": `at most as many a second; default ${DEFAULT_MAX_RPS}`,
    "--limit N": "end after as many requests",
    "-o, --output FORMAT": "default plain lines; wide (with pods and identities) or json",
    ...namespaceHelp,
    ...clusterHelp,
  },

  async run({ flags, positionals, terminal, signal, connect }) {
    const resource = parseResource(positionals);
    const format = flags.choice("output", ["plain", "wide", "json"], "plain");
    const limit = flags.count("limit", 1) ?? Number.POSITIVE_INFINITY;
    const { client, namespace } = await connect();
    const query: TapQuery = { ...tapTarget(resource, flags.text("namespace") ?? namespace), ...filters(flags) };
    let seen = 0;
    const notice = (text: string): void => terminal.printError(text);
    for await (const record of tapRequests(client, query, signal, notice)) {
      terminal.print(format === "json" ? JSON.stringify(record) : formatTap(record, { wide: format === "wide" }));
      seen++;
      if (seen >= limit) return 0;
    }
    if (!signal.aborted) terminal.printError("The tap was ended by the control plane.");
    return signal.aborted ? 0 : 1;
  },
};

function filters(flags: Flags): Omit<TapQuery, "kind" | "name" | "namespace"> {
  const method = flags.text("method");
  const pathPrefix = flags.text("path");
  const authority = flags.text("authority");
  return {
    maxRps: flags.count("max-rps", 1) ?? DEFAULT_MAX_RPS,
    ...(method === undefined ? {} : { method: method.toUpperCase() }),
    ...(pathPrefix === undefined ? {} : { pathPrefix }),
    ...(authority === undefined ? {} : { authority }),
    ...(flags.is("headers") ? { headers: true } : {}),
  };
}
