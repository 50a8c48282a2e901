/** What statistics and tap keep of a pod. */
import type { KubeObject, ObjectMeta } from "../../kube/types.ts";
import { annotation, container, label } from "../../model/names.ts";

export type WorkloadKind =
  | "Deployment"
  | "StatefulSet"
  | "DaemonSet"
  | "ReplicaSet"
  | "ReplicationController"
  | "Job"
  | "Pod";

export interface Workload {
  readonly kind: string;
  readonly name: string;
}

export interface PodView extends KubeObject {
  readonly ip: string | undefined;
  readonly phase: string;
  readonly serviceAccount: string;
  readonly node: string | undefined;
  /** What manages it: its Deployment rather than its ReplicaSet; the pod itself where nothing does. */
  readonly workload: Workload;
  /** The ReplicaSet under a Deployment. */
  readonly replicaSet: string | undefined;
  /** Value of linkerd.io/control-plane-ns: the mesh whose proxy it carries. */
  readonly mesh: string | undefined;
  readonly proxyReady: boolean;
  /** viz.linkerd.io/disable-tap of the pod. */
  readonly tapDisabled: boolean;
}

interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
}

interface Pod extends KubeObject {
  spec?: { serviceAccountName?: string; nodeName?: string; hostNetwork?: boolean };
  status?: {
    phase?: string;
    podIP?: string;
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
  };
}

/** For an informer's `project`. */
export function viewPod(object: KubeObject): PodView {
  const pod = object as Pod;
  const { spec = {}, status = {}, metadata } = pod;
  const owned = ownerOf(metadata);
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata: slim(metadata),
    // Pods on the host's network share the node's address.
    ip: spec.hostNetwork === true ? undefined : status.podIP,
    phase: status.phase ?? "Unknown",
    serviceAccount: spec.serviceAccountName ?? "default",
    node: spec.nodeName,
    ...owned,
    mesh: metadata.labels?.[label.controlPlaneNamespace],
    proxyReady: [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].some(
      ({ name, ready }) => name === container.proxy && ready === true,
    ),
    tapDisabled: metadata.annotations?.[annotation.disableTap] === "true",
  };
}

function slim(metadata: ObjectMeta): ObjectMeta {
  const { name, namespace, uid, resourceVersion, labels, deletionTimestamp } = metadata;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(labels === undefined ? {} : { labels }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
}

function ownerOf(metadata: ObjectMeta): Pick<PodView, "workload" | "replicaSet"> {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) return { workload: { kind: "Pod", name: metadata.name }, replicaSet: undefined };
  if (owner.kind !== "ReplicaSet") {
    return { workload: { kind: owner.kind, name: owner.name }, replicaSet: undefined };
  }
  // A Deployment names its ReplicaSets by itself and the hash that its pods carry as a label.
  const hash = metadata.labels?.["pod-template-hash"];
  const suffix = `-${hash}`;
  return hash !== undefined && owner.name.endsWith(suffix)
    ? { workload: { kind: "Deployment", name: owner.name.slice(0, -suffix.length) }, replicaSet: owner.name }
    : { workload: { kind: "ReplicaSet", name: owner.name }, replicaSet: owner.name };
}

/** Neither ended nor about to. */
export function isLive(pod: PodView): boolean {
  return pod.phase !== "Succeeded" && pod.phase !== "Failed" && pod.metadata.deletionTimestamp === undefined;
}

/** `<namespace>/<name>`, the key of an informer's store. */
export const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`;
export const podKey = (pod: PodView): string => keyOf(pod.metadata.namespace ?? "", pod.metadata.name);
