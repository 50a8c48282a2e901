/** Which cluster: contexts as a person chooses among them, and one of them resolved for a connection. */
import type { Kubeconfig, KubeconfigCluster, KubeconfigContext, KubeconfigUser } from "./kubeconfig.ts";

/** A row of a quick pick. */
export interface ContextChoice {
  readonly name: string;
  readonly cluster: string;
  /** Empty where the cluster is not defined. */
  readonly server: string;
  readonly user: string;
  readonly namespace: string;
  readonly file: string;
  readonly current: boolean;
  /** Why it cannot be used. */
  readonly problem?: string;
}

/** Everything a connection needs, fixed: a later change of the files makes another one. */
export interface ResolvedContext {
  readonly name: string;
  /** The context's own, default `default`. */
  readonly namespace: string;
  readonly cluster: KubeconfigCluster;
  readonly user: KubeconfigUser;
}

export class ContextError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ContextError";
  }
}

/** The current one first, then in the order of the files. */
export function listContexts(kubeconfig: Kubeconfig): ContextChoice[] {
  const choices = [...kubeconfig.contexts.values()].map((context): ContextChoice => {
    const problem = problemOf(kubeconfig, context);
    return {
      name: context.name,
      cluster: context.cluster,
      server: kubeconfig.clusters.get(context.cluster)?.server ?? "",
      user: context.user,
      namespace: context.namespace ?? "default",
      file: context.file,
      current: context.name === kubeconfig.currentContext,
      ...(problem === undefined ? {} : { problem }),
    };
  });
  return choices.sort((a, b) => Number(b.current) - Number(a.current));
}

/**
 * @param name default the current context
 * @throws ContextError where there is none, or its cluster or user is not defined
 */
export function resolveContext(kubeconfig: Kubeconfig, name?: string): ResolvedContext {
  const wanted = name ?? kubeconfig.currentContext;
  if (wanted === undefined) throw new ContextError(noContext(kubeconfig));
  const context = kubeconfig.contexts.get(wanted);
  if (context === undefined) {
    const names = [...kubeconfig.contexts.keys()].slice(0, 10).join(", ");
    throw new ContextError(
      `there is no context "${wanted}" in ${kubeconfig.files.join(", ")}${names === "" ? "" : `; there are: ${names}`}${brokenFiles(kubeconfig)}`,
    );
  }
  const problem = problemOf(kubeconfig, context);
  if (problem !== undefined) throw new ContextError(`context "${wanted}" (${context.file}): ${problem}`);
  return {
    name: wanted,
    namespace: context.namespace ?? "default",
    cluster: kubeconfig.clusters.get(context.cluster) as KubeconfigCluster,
    // As kubectl: without a user one asks anonymously.
    user: kubeconfig.users.get(context.user) ?? { name: "", file: context.file },
  };
}

function problemOf(kubeconfig: Kubeconfig, context: KubeconfigContext): string | undefined {
  const cluster = kubeconfig.clusters.get(context.cluster);
  if (cluster === undefined) return `its cluster "${context.cluster}" is not defined`;
  if (!/^https?:\/\/[^/]/.test(cluster.server) || !URL.canParse(cluster.server)) {
    return `the server of its cluster "${context.cluster}" is no URL: "${cluster.server}"`;
  }
  if (context.user !== "" && !kubeconfig.users.has(context.user)) return `its user "${context.user}" is not defined`;
  return undefined;
}

function noContext(kubeconfig: Kubeconfig): string {
  if (kubeconfig.contexts.size > 0) {
    return `no context is current in ${kubeconfig.files.join(", ")}; name one of: ${[...kubeconfig.contexts.keys()].slice(0, 10).join(", ")}`;
  }
  return `no cluster is configured: ${kubeconfig.files.join(", ")} ${kubeconfig.files.length === 1 ? "holds" : "hold"} no context. Set KUBECONFIG or name a file${brokenFiles(kubeconfig)}`;
}

function brokenFiles(kubeconfig: Kubeconfig): string {
  return kubeconfig.problems.map((problem) => `; ${problem.message}`).join("");
}
