/** What a command is, and the flags that several of them take. Names as Linkerd's CLI has them (reference 1). */
import type { ParseArgsOptionsConfig } from "node:util";
import type { Connection } from "./connection.ts";
import type { Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

export interface Invocation {
  readonly flags: Flags;
  readonly positionals: readonly string[];
  readonly terminal: Terminal;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Contacts no cluster yet. @throws KubeconfigError, ContextError */
  connect(): Promise<Connection>;
}

export interface Command {
  /** What stands after the name, e.g. `RESOURCE [flags]`. */
  readonly usage: string;
  readonly summary: string;
  /** More lines for help. */
  readonly details?: string;
  readonly options: ParseArgsOptionsConfig;
  /** A line a flag, `--flag VALUE` → what it does. */
  readonly help: Readonly<Record<string, string>>;
  /** @returns the exit code */
  run(invocation: Invocation): Promise<number>;
}

/** Which cluster, and where in it Weft is. */
export const clusterOptions = {
  kubeconfig: { type: "string" },
  context: { type: "string" },
  "weft-namespace": { type: "string", short: "L" },
} as const satisfies ParseArgsOptionsConfig;

export const clusterHelp: Readonly<Record<string, string>> = {
  "--context NAME": "context of the kubeconfig; default the current one",
  "--kubeconfig FILE": "default $KUBECONFIG, then ~/.kube/config",
  "-L, --weft-namespace NAME": "namespace of the control plane; default weft",
};

export const namespaceOptions = { namespace: { type: "string", short: "n" } } as const satisfies ParseArgsOptionsConfig;

export const namespaceHelp: Readonly<Record<string, string>> = {
  "-n, --namespace NAME": "default the context's namespace",
};

/** For what changes a cluster. */
export const changeOptions = {
  yes: { type: "boolean", short: "y" },
  wait: { type: "string" },
} as const satisfies ParseArgsOptionsConfig;

export const changeHelp: Readonly<Record<string, string>> = {
  "-y, --yes": "do not ask",
  "--wait DURATION": "how long to wait until all is ready; default 5m",
};
