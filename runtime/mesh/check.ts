/** Is all well with the cluster and the mesh in it? Categories, checks and marks as Linkerd's (reference 2). */
import type { KubeClient } from "../kube/types.ts";
import { CONTROL_PLANE_NAMESPACE } from "../model/names.ts";
import { type CheckCategory, type CheckContext, runCheck } from "./checks/check.ts";
import { existence, version } from "./checks/control-plane.ts";
import { dataPlane } from "./checks/data-plane.ts";
import { identity } from "./checks/identity.ts";
import { installRights, kubernetesApi, kubernetesVersion, otherMeshes, userRights } from "./checks/kubernetes.ts";
import { webhooksAndApis } from "./checks/serving.ts";
import type { CheckResult } from "./types.ts";

export interface CheckOptions {
  /** Namespace of the control plane, default `weft`. */
  readonly namespace?: string;
  /** Whether an install would do, instead of how the installed mesh is. */
  readonly pre?: boolean;
  /** Only proxies of this namespace. */
  readonly dataPlaneNamespace?: string;
  readonly signal?: AbortSignal;
}

/** The category whose checks are about pods of the users'. */
export const DATA_PLANE = dataPlane.name;

const BEFORE: readonly CheckCategory[] = [kubernetesApi, kubernetesVersion, otherMeshes, installRights];
const AFTER: readonly CheckCategory[] = [
  kubernetesApi,
  kubernetesVersion,
  otherMeshes,
  existence,
  identity,
  webhooksAndApis,
  version,
  dataPlane,
  userRights,
];

/** One result after the other, as they are found; ends early where a check fails without which the rest makes no sense. */
export async function* runChecks(client: KubeClient, options: CheckOptions = {}): AsyncGenerator<CheckResult> {
  const context: CheckContext = {
    client,
    namespace: options.namespace ?? CONTROL_PLANE_NAMESPACE,
    dataPlaneNamespace: options.dataPlaneNamespace,
    config: undefined,
  };
  for (const { name, checks } of options.pre === true ? BEFORE : AFTER) {
    for (const check of checks) {
      options.signal?.throwIfAborted();
      const result = await runCheck(name, check, context);
      yield result;
      if (check.fatal === true && result.result === "error") return;
    }
  }
}

/** All of {@link runChecks} at once. */
export async function collectChecks(client: KubeClient, options: CheckOptions = {}): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for await (const result of runChecks(client, options)) results.push(result);
  return results;
}
