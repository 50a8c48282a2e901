/** Which workloads carry a proxy now, and what makes them. */
import { resource } from "../kube/resources.ts";
import type { KubeClient } from "../kube/types.ts";
import { annotation, label } from "../model/names.ts";
import type { Pod } from "./pods.ts";
import { ROLLOUT_KINDS, rolloutResource, type Workload } from "./rollout.ts";
import type { InjectTarget, WorkloadRef } from "./types.ts";

/** Owners by the labels that injection puts on a pod, the topmost first. */
const OWNER_KINDS = ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "ReplicaSet"] as const;

/** What a pod belongs to: its topmost owner, or itself. */
export function ownerOf(pod: Pod): WorkloadRef {
  const { name, namespace = "", labels = {} } = pod.metadata;
  for (const kind of OWNER_KINDS) {
    const owner = labels[label.proxyOwner(kind)];
    if (owner !== undefined) return { kind, namespace, name: owner };
  }
  return { kind: "Pod", namespace, name };
}

/** Pods that carry a proxy of this control plane. @param namespace absent: in all of them */
export async function meshedPods(client: KubeClient, controlPlane: string, namespace?: string): Promise<Pod[]> {
  const { items } = await client.list<Pod>(resource.pods, {
    labelSelector: `${label.controlPlaneNamespace}=${controlPlane}`,
    ...(namespace === undefined ? {} : { namespace }),
  });
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

/** The owners of {@link meshedPods}, each once, in the order of their names. */
export async function meshedWorkloads(client: KubeClient, controlPlane: string): Promise<WorkloadRef[]> {
  const owners = new Map((await meshedPods(client, controlPlane)).map(ownerOf).map((ref) => [keyOf(ref), ref]));
  return [...owners].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ref]) => ref);
}

/** Everything whose annotation asks for a proxy: what an uninstall has to uninject. */
export async function injectedTargets(client: KubeClient): Promise<InjectTarget[]> {
  const namespaces = (await client.list(resource.namespaces)).items
    .filter(({ metadata }) => asksForProxy(metadata.annotations))
    .map(({ metadata: { name } }): InjectTarget => ({ kind: "Namespace", namespace: name, name }));
  const workloads = await Promise.all(
    ROLLOUT_KINDS.map(async (kind) => {
      const { items } = await client.list<Workload>(rolloutResource(kind));
      return items
        .filter(({ spec }) => asksForProxy(spec.template.metadata?.annotations))
        .map(({ metadata: { name, namespace = "" } }): InjectTarget => ({ kind, namespace, name }));
    }),
  );
  const annotated = workloads.flat();
  const whole = new Set(namespaces.map(({ name }) => name));
  return [...namespaces, ...annotated.filter(({ namespace }) => !whole.has(namespace))];
}

/** `enabled`, or `ingress`: Linkerd's word for the same in an ingress controller's pod. */
export function asksForProxy(annotations: Readonly<Record<string, string>> | undefined): boolean {
  const value = annotations?.[annotation.inject];
  return value === "enabled" || value === "ingress";
}

function keyOf({ kind, namespace, name }: WorkloadRef): string {
  return `${namespace}/${kind}/${name}`;
}
