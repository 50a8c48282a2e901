/** What an uninstall offers first: every proxy taken away again. */
import type { KubeClient } from "../kube/types.ts";
import { CONTROL_PLANE_NAMESPACE } from "../model/names.ts";
import { type InjectOptions, planUninject } from "./inject.ts";
import { injectedTargets, meshedWorkloads } from "./meshed.ts";
import type { InjectPlan, InjectTarget, WorkloadRef } from "./types.ts";

/** A plan for each namespace and workload whose annotation asks for a proxy, or that carries one all the same. */
export async function planUninjectAll(client: KubeClient, options: InjectOptions = {}): Promise<InjectPlan[]> {
  const targets = await injectedTargets(client);
  const meshed = await meshedWorkloads(client, options.controlPlane ?? CONTROL_PLANE_NAMESPACE);
  const others = meshed.flatMap((ref): InjectTarget[] => {
    const covered = targets.some((target) => covers(target, ref));
    return covered || !isTargetKind(ref.kind) ? [] : [{ ...ref, kind: ref.kind }];
  });
  return await Promise.all([...targets, ...others].map((target) => planUninject(client, target, options)));
}

function covers(target: InjectTarget, { kind, namespace, name }: WorkloadRef): boolean {
  if (target.namespace !== namespace) return false;
  return target.kind === "Namespace" || (target.kind === kind && target.name === name);
}

function isTargetKind(kind: WorkloadRef["kind"]): kind is InjectTarget["kind"] {
  return kind === "Deployment" || kind === "StatefulSet" || kind === "DaemonSet";
}
