/** What runs in a namespace and how each of it takes to a proxy. */
import { hasStatus } from "../kube/errors.ts";
import { resource } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";
import { annotation, container, label } from "../model/names.ts";
import { MeshError } from "./errors.ts";
import type { Pod, PodSpec } from "./pods.ts";
import { podsOf, ROLLOUT_KINDS, type RolloutKind, rolloutResource, type Workload } from "./rollout.ts";
import type { InjectTarget, WorkloadRef } from "./types.ts";

/** Something that a namespace's annotation concerns, with its pods. */
export interface Candidate {
  readonly ref: WorkloadRef;
  readonly template: Workload["spec"]["template"];
  readonly pods: readonly Pod[];
  /** Absent where nothing can be restarted: bare pods, jobs. */
  readonly workload?: Workload;
}

interface JobLike extends KubeObject {
  spec: { readonly template?: Workload["spec"]["template"] };
  status?: { readonly active?: number };
}

const FOREIGN_PROXIES = ["istio-proxy", "istio-init"];

/** @throws MeshError where the namespace or the workload does not exist */
export async function candidatesOf(client: KubeClient, target: InjectTarget): Promise<Candidate[]> {
  if (target.kind !== "Namespace") {
    return [await rolloutCandidate(client, target.kind, await existing(client, target))];
  }
  const { namespace } = target;
  const lists = await Promise.all(
    ROLLOUT_KINDS.map(async (kind) => {
      const { items } = await client.list<Workload>(rolloutResource(kind), { namespace });
      return await Promise.all(items.map((workload) => rolloutCandidate(client, kind, workload)));
    }),
  );
  return [...lists.flat(), ...(await otherCandidates(client, namespace))];
}

async function existing(client: KubeClient, target: InjectTarget): Promise<Workload> {
  const { kind, namespace, name } = target;
  const workload = await client.find<Workload>(rolloutResource(kind as RolloutKind), name, namespace);
  if (workload !== undefined) return workload;
  throw new MeshError(
    `there is no ${kind} ${name} in namespace ${namespace}`,
    `See what there is: kubectl -n ${namespace} get ${kind.toLowerCase()}s`,
  );
}

async function rolloutCandidate(client: KubeClient, kind: RolloutKind, workload: Workload): Promise<Candidate> {
  const { name, namespace = "" } = workload.metadata;
  const pods = await podsOf(client, workload);
  return { ref: { kind, namespace, name }, template: workload.spec.template, pods, workload };
}

/** Bare pods, jobs under way and replica sets of nobody: they are named, nothing is done to them. */
async function otherCandidates(client: KubeClient, namespace: string): Promise<Candidate[]> {
  const [pods, jobs, replicaSets] = await Promise.all([
    client.list<Pod>(resource.pods, { namespace }),
    client.list<JobLike>(resource.jobs, { namespace }),
    client.list<Workload>(resource.replicaSets, { namespace }),
  ]);
  const bare = pods.items.filter(({ metadata, status }) => {
    const ended = status?.phase === "Succeeded" || status?.phase === "Failed";
    return !metadata.ownerReferences?.length && metadata.deletionTimestamp === undefined && !ended;
  });
  return [
    ...bare.map((pod): Candidate => ({ ref: refOf("Pod", pod), template: pod, pods: [pod] })),
    ...jobs.items
      .filter(({ status }) => (status?.active ?? 0) > 0)
      .map((job): Candidate => ({ ref: refOf("Job", job), template: job.spec.template ?? EMPTY, pods: [] })),
    ...replicaSets.items
      .filter(({ metadata, spec }) => !metadata.ownerReferences?.length && (spec.replicas ?? 1) > 0)
      .map((set): Candidate => ({ ref: refOf("ReplicaSet", set), template: set.spec.template, pods: [] })),
  ];
}

const EMPTY: Workload["spec"]["template"] = { spec: { containers: [] } };

function refOf(kind: WorkloadRef["kind"], { metadata: { name, namespace = "" } }: KubeObject): WorkloadRef {
  return { kind, namespace, name };
}

/**
 * Why a candidate does not get a proxy; undefined: it can.
 * @param asked the workload itself is to be annotated, so what its annotation said before does not count
 */
export async function obstacle(client: KubeClient, candidate: Candidate, asked: boolean): Promise<string | undefined> {
  const { spec, metadata } = candidate.template;
  if (spec.hostNetwork === true)
    return "runs on its node's network (hostNetwork): a redirect would catch the node's traffic";
  if (containerNames(spec).some((name) => FOREIGN_PROXIES.includes(name))) return "carries the proxy of another mesh";
  const inject = metadata?.annotations?.[annotation.inject];
  if (inject === "disabled" && !asked) return `its annotation ${annotation.inject} says disabled`;
  if (metadata?.labels?.[label.controlPlaneComponent] !== undefined) return "is part of a control plane";
  if (!(await mountsToken(client, candidate))) {
    return "its service-account token is not mounted (automountServiceAccountToken: false): a proxy could prove no identity";
  }
  return undefined;
}

/** The pod's own word counts before its service account's. */
async function mountsToken(client: KubeClient, { ref, template }: Candidate): Promise<boolean> {
  const { automountServiceAccountToken, serviceAccountName = "default" } = template.spec;
  if (automountServiceAccountToken !== undefined) return automountServiceAccountToken;
  try {
    const account = await client.find<KubeObject & { automountServiceAccountToken?: boolean }>(
      resource.serviceAccounts,
      serviceAccountName,
      ref.namespace,
    );
    return account?.automountServiceAccountToken !== false;
  } catch (error) {
    // Who may not read it learns it from the trial.
    if (hasStatus(error, 403)) return true;
    throw error;
  }
}

/** Why something cannot be restarted here, and when it gets its proxy all the same; undefined: it can be restarted. */
export function restartObstacle({ ref, workload, pods }: Candidate, meshed: boolean): string | undefined {
  const next = meshed ? "is meshed" : "has none";
  switch (ref.kind) {
    case "Pod":
      return `a bare pod: nothing makes it anew. Delete it and create it again; the new one ${next}`;
    case "Job":
      return `runs to its end as it is; its next run ${next}`;
    case "ReplicaSet":
      return `a ReplicaSet without a Deployment: delete its pods; the new ones ${meshed ? "are meshed" : "have none"}`;
    default:
      break;
  }
  if (workload?.spec.updateStrategy?.type === "OnDelete") {
    return "its pods become new only when they are deleted (updateStrategy OnDelete)";
  }
  return pods.length === 0 ? `runs no pod now; its next one ${next}` : undefined;
}

/** Does this pod carry a proxy of the control plane in `controlPlane`? */
export function isMeshed(pod: Pod, controlPlane: string): boolean {
  return (
    pod.metadata.labels?.[label.controlPlaneNamespace] === controlPlane &&
    containerNames(pod.spec).includes(container.proxy)
  );
}

function containerNames(spec: PodSpec): string[] {
  return [...(spec.initContainers ?? []), ...spec.containers].map(({ name }) => name);
}
