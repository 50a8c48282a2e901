/** Errors as a person at a terminal reads them: what is wrong, then what to do. */
import { ContextError } from "../kube/contexts.ts";
import { KubeConnectionError, KubeError } from "../kube/errors.ts";
import { KubeconfigError } from "../kube/kubeconfig.ts";
import { MeshError } from "../mesh/errors.ts";

/** The command line itself is wrong. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

export const exitCode = { failed: 1, usage: 64, interrupted: 130 } as const;

export interface Explanation {
  readonly message: string;
  readonly hint: string | undefined;
  /** Nobody foresaw it: its stack is worth a report. */
  readonly unforeseen: boolean;
}

export function explain(error: unknown): Explanation {
  if (error instanceof MeshError) return foreseen(error.message, error.hint);
  if (error instanceof UsageError) return foreseen(error.message, "Run weft help for all commands and flags.");
  if (error instanceof KubeconfigError)
    return foreseen(error.message, "Mend the file, or name another one (--kubeconfig).");
  if (error instanceof ContextError) return foreseen(error.message, "Choose one with --context, or set KUBECONFIG.");
  if (error instanceof KubeConnectionError) return foreseen(error.message, undefined);
  if (error instanceof KubeError) return foreseen(error.message, hintForStatus(error.status));
  const message = error instanceof Error ? error.message : String(error);
  return { message: message === "" ? String(error) : message, hint: undefined, unforeseen: true };
}

function foreseen(message: string, hint: string | undefined): Explanation {
  return { message, hint, unforeseen: false };
}

function hintForStatus(status: number): string | undefined {
  switch (status) {
    case 401:
      return "Your credentials are not accepted: log in to the cluster again, or choose another context.";
    case 403:
      return "Ask an administrator of this cluster for that right, or choose a context that has it.";
    default:
      return undefined;
  }
}
