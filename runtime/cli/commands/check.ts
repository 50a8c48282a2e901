import { setTimeout as sleep } from "node:timers/promises";
import { collectChecks, runChecks } from "../../mesh/check.ts";
import type { CheckResult } from "../../mesh/types.ts";
import { waitMs } from "../change.ts";
import { type Command, clusterHelp, clusterOptions, type Invocation } from "../command.ts";
import { checksJson, formatCategory, formatCheck } from "../format/check-lines.ts";
import type { Terminal } from "../terminal.ts";

const AGAIN_MS = 2_000;

export const check: Command = {
  usage: "[flags]",
  summary: "Is all well with the cluster and the mesh in it",
  details: "Ends with 1 where a check fails; warnings do not count.",
  options: {
    ...clusterOptions,
    pre: { type: "boolean" },
    namespace: { type: "string", short: "n" },
    output: { type: "string", short: "o" },
    wait: { type: "string" },
  },
  help: {
    "--pre": "whether an install would do",
    "-n, --namespace NAME": "only proxies of this namespace",
    "-o, --output FORMAT": "table, short (only what is not well) or json",
    "--wait DURATION": "ask again until all is well, as long; default not at all",
    ...clusterHelp,
  },

  async run(invocation) {
    const { flags, terminal } = invocation;
    const format = flags.choice("output", ["table", "short", "json"], "table");
    const until = performance.now() + (waitMs(flags) ?? 0);
    let results: CheckResult[] | undefined;
    // Asked again quietly; the last round is the one that is shown.
    while (performance.now() < until) {
      results = await collect(invocation);
      if (!failed(results)) break;
      results = undefined;
      await sleep(AGAIN_MS, undefined, { signal: invocation.signal });
    }
    const shown = results ?? (format === "table" ? await printLive(invocation) : await collect(invocation));
    if (format === "json") terminal.print(checksJson(shown));
    else if (format === "short" || results !== undefined) printAll(terminal, shown, format === "short");
    if (format !== "json") terminal.print(`\nStatus check results are ${failed(shown) ? "×" : "√"}`);
    return failed(shown) ? 1 : 0;
  },
};

function failed(results: readonly CheckResult[]): boolean {
  return results.some(({ result }) => result === "error");
}

async function prepared({ flags, signal, connect }: Invocation): Promise<Parameters<typeof runChecks>> {
  const { client, controlPlaneNamespace } = await connect();
  const dataPlaneNamespace = flags.text("namespace");
  return [
    client,
    {
      namespace: controlPlaneNamespace,
      pre: flags.is("pre"),
      signal,
      ...(dataPlaneNamespace === undefined ? {} : { dataPlaneNamespace }),
    },
  ];
}

async function collect(invocation: Invocation): Promise<CheckResult[]> {
  return await collectChecks(...(await prepared(invocation)));
}

async function printLive(invocation: Invocation): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for await (const result of runChecks(...(await prepared(invocation)))) {
    printOne(invocation.terminal, result, results.at(-1)?.category);
    results.push(result);
  }
  return results;
}

/** Prints results; used after an install too. */
export function printAll(terminal: Terminal, results: readonly CheckResult[], short: boolean): void {
  let category: string | undefined;
  for (const result of results) {
    if (short && (result.result === "success" || result.result === "skipped")) continue;
    printOne(terminal, result, category);
    category = result.category;
  }
}

function printOne(terminal: Terminal, result: CheckResult, categoryBefore: string | undefined): void {
  if (result.category !== categoryBefore) {
    terminal.print(`${categoryBefore === undefined ? "" : "\n"}${formatCategory(result.category)}`);
  }
  terminal.print(formatCheck(terminal, result));
}
