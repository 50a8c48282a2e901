/** Errors as a person in an editor reads them: what is wrong, what to do, and which kind of trouble it is. Knows no `vscode`. */
import { ContextError } from "../../runtime/kube/contexts.ts";
import { CredentialPluginError } from "../../runtime/kube/credential-plugin-error.ts";
import { KubeConnectionError, KubeError } from "../../runtime/kube/errors.ts";
import { MeshError } from "../../runtime/mesh/errors.ts";
import { type CommandId, command } from "../contributions.ts";
import { NeedsClusterError } from "./needs-cluster.ts";

export type Trouble = "kubeconfig" | "unreachable" | "unauthorized" | "forbidden" | "mesh" | "unforeseen";

export interface NextStep {
  readonly title: string;
  readonly command: CommandId;
}

export interface Explanation {
  readonly trouble: Trouble;
  /** Begins with a capital. */
  readonly message: string;
  readonly hint: string | undefined;
  /** Buttons, the likeliest first. */
  readonly nextSteps: readonly NextStep[];
}

const CHOOSE: NextStep = { title: "Choose Cluster", command: command.chooseCluster };
const RETRY: NextStep = { title: "Try Again", command: command.refresh };
const CHECKS: NextStep = { title: "Run Checks", command: command.runChecks };
const INSTALL: NextStep = { title: "Install Mesh", command: command.installMesh };
const KUBECONFIG: NextStep = { title: "Open Kubeconfig", command: command.showKubeconfig };

export function explain(error: unknown): Explanation {
  if (error instanceof MeshError) return explainMeshError(error);
  if (error instanceof NeedsClusterError) return made("kubeconfig", error.message, "Choose one first.", [CHOOSE]);
  if (isKubeconfigError(error))
    return made("kubeconfig", error.message, "Mend the file, or name another one in the setting weft.kubeconfig.", [
      KUBECONFIG,
      CHOOSE,
    ]);
  if (error instanceof ContextError) return made("kubeconfig", error.message, undefined, [CHOOSE, KUBECONFIG]);
  if (error instanceof CredentialPluginError) return made("unauthorized", error.message, undefined, [RETRY, CHOOSE]);
  if (error instanceof KubeConnectionError) return made("unreachable", error.message, undefined, [RETRY, CHOOSE]);
  if (error instanceof KubeError) return explainStatus(error);
  const message = error instanceof Error ? error.message : String(error);
  return made("unforeseen", message === "" ? String(error) : message, undefined, []);
}

/** By its name: the class comes with a YAML parser, which activation does without. */
function isKubeconfigError(error: unknown): error is Error {
  return error instanceof Error && error.name === "KubeconfigError";
}

function explainMeshError(error: MeshError): Explanation {
  const { hint } = error;
  const forbidden = error.cause instanceof KubeError && error.cause.status === 403;
  return made(forbidden ? "forbidden" : "mesh", error.message, hint === undefined ? undefined : inEditorsWords(hint), [
    ...(hint !== undefined && /\bweft install\b/.test(hint) ? [INSTALL] : []),
    ...(hint !== undefined && /\bweft check\b/.test(hint) ? [CHECKS] : []),
  ]);
}

/** Hints are shared with the terminal; here its commands have other names. */
function inEditorsWords(hint: string): string {
  const names: Readonly<Record<string, string>> = {
    check: "Weft: Run Checks",
    install: "Weft: Install Mesh",
    uninstall: "Weft: Uninstall Mesh",
    inject: "Weft: Inject",
    uninject: "Weft: Uninject",
    tap: "Weft: Tap",
  };
  return hint.replace(/\bweft (check|install|uninstall|inject|uninject|tap)\b/g, (_, name: string) => names[name] ?? _);
}

function explainStatus(error: KubeError): Explanation {
  switch (error.status) {
    case 401:
      return made(
        "unauthorized",
        `the cluster does not accept your credentials: ${error.message}`,
        "Log in to the cluster again, or choose another context.",
        [RETRY, CHOOSE],
      );
    case 403:
      return made(
        "forbidden",
        error.message,
        "Ask an administrator of this cluster for that right, or choose a context that has it.",
        [CHOOSE],
      );
    default:
      return made("unforeseen", error.message, undefined, [RETRY]);
  }
}

function made(
  trouble: Trouble,
  message: string,
  hint: string | undefined,
  nextSteps: readonly NextStep[],
): Explanation {
  return { trouble, message: sentence(message), hint, nextSteps };
}

function sentence(text: string): string {
  const trimmed = text.trim();
  // A name in lower case at the start (an address, a file) stays as it is.
  const first = /^[a-z]+\b(?![:./\\-])/.test(trimmed) ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?)]$/.test(first) || first.includes("\n") ? first : `${first}.`;
}

/** One text for places that have no room for buttons. */
export function oneText({ message, hint }: Explanation): string {
  return hint === undefined ? message : `${message} ${hint}`;
}
