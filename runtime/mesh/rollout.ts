/** Waits until a workload's pods are all new and ready, and says why where they do not become so. */
import { setTimeout as sleep } from "node:timers/promises";
import { resource } from "../kube/resources.ts";
import type { KubeClient, KubeObject, Resource } from "../kube/types.ts";
import { MeshError } from "./errors.ts";
import { isPodReady, lastWords, type Pod, type PodTrouble, podTroubles } from "./pods.ts";
import { subjectOf } from "./progress.ts";

export const ROLLOUT_KINDS = ["Deployment", "StatefulSet", "DaemonSet"] as const;
export type RolloutKind = (typeof ROLLOUT_KINDS)[number];

export interface RolloutRef {
  readonly kind: RolloutKind;
  readonly namespace: string;
  readonly name: string;
}

export interface Patience {
  /** Milliseconds, by performance.now(). */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
}

const POLL_MS = 1_000;
/** A registry that hiccups is asked again by the kubelet; one that still refuses after this long will go on to. */
const IMAGE_PATIENCE_MS = 15_000;
/** What forbids pods (a quota, an admission rule) seldom ends by itself. */
const BLOCKED_PATIENCE_MS = 30_000;
/** A program that dies as often will go on to. */
const CRASHES = 3;

const RESOURCES: Readonly<Record<RolloutKind, Resource>> = {
  Deployment: resource.deployments,
  StatefulSet: resource.statefulSets,
  DaemonSet: resource.daemonSets,
};

export interface Workload extends KubeObject {
  spec: {
    readonly replicas?: number;
    readonly selector?: {
      readonly matchLabels?: Readonly<Record<string, string>>;
      readonly matchExpressions?: readonly {
        readonly key: string;
        readonly operator: string;
        readonly values?: readonly string[];
      }[];
    };
    readonly updateStrategy?: { readonly type?: string };
    readonly template: {
      readonly metadata?: {
        readonly labels?: Readonly<Record<string, string>>;
        readonly annotations?: Readonly<Record<string, string>>;
      };
      readonly spec: Pod["spec"];
    };
  };
  status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberAvailable?: number;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

export function rolloutResource(kind: RolloutKind): Resource {
  return RESOURCES[kind];
}

/**
 * Resolves with e.g. `2 of 2 pods ready`.
 * @throws MeshError as soon as it is clear that the pods will not become ready, or at the deadline
 */
export async function waitForRollout(
  client: KubeClient,
  ref: RolloutRef,
  patience: Patience,
  waiting: (detail: string) => void,
): Promise<string> {
  let imageSince: number | undefined;
  let blockedSince: number | undefined;
  for (;;) {
    patience.signal?.throwIfAborted();
    const workload = await client.get<Workload>(RESOURCES[ref.kind], ref.name, ref.namespace);
    const state = rolloutState(ref.kind, workload);
    if (state.done) return state.text;
    const pods = await podsOf(client, workload);
    const troubles = pods.filter((pod) => !isPodReady(pod)).flatMap(podTroubles);
    const [trouble] = troubles.sort((a, b) => rank(a) - rank(b));
    imageSince = trouble?.kind === "image" ? (imageSince ?? performance.now()) : undefined;
    const blocked = blockedBy(workload);
    blockedSince = blocked === undefined ? undefined : (blockedSince ?? performance.now());
    const why = trouble?.message ?? blocked;
    waiting(why === undefined ? state.text : `${state.text}; ${why}`);
    const hopeless =
      (trouble?.kind === "crash" && trouble.restarts >= CRASHES) ||
      (imageSince !== undefined && performance.now() - imageSince > IMAGE_PATIENCE_MS) ||
      (blockedSince !== undefined && performance.now() - blockedSince > BLOCKED_PATIENCE_MS);
    if (hopeless || performance.now() > patience.deadline) {
      throw await failure(client, ref, state.text, trouble, why);
    }
    await sleep(POLL_MS, undefined, patience.signal === undefined ? {} : { signal: patience.signal });
  }
}

/** @returns the pods that a workload's selector takes, those on their way out left aside */
export async function podsOf(client: KubeClient, workload: Workload): Promise<Pod[]> {
  const { namespace } = workload.metadata;
  const { items } = await client.list<Pod>(resource.pods, {
    ...(namespace === undefined ? {} : { namespace }),
    labelSelector: selectorText(workload.spec.selector),
  });
  return items.filter((pod) => pod.metadata.deletionTimestamp === undefined);
}

export function selectorText(selector: Workload["spec"]["selector"]): string {
  const equal = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const expressions = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    if (operator === "Exists") return key;
    if (operator === "DoesNotExist") return `!${key}`;
    return `${key} ${operator.toLowerCase()} (${values.join(",")})`;
  });
  return [...equal, ...expressions].join(",");
}

export function rolloutState(
  kind: RolloutKind,
  { metadata, spec, status = {} }: Workload,
): {
  readonly done: boolean;
  readonly text: string;
} {
  const daemon = kind === "DaemonSet";
  const wanted = (daemon ? status.desiredNumberScheduled : spec.replicas) ?? (daemon ? 0 : 1);
  const updated = (daemon ? status.updatedNumberScheduled : status.updatedReplicas) ?? 0;
  const available = (daemon ? status.numberAvailable : status.availableReplicas) ?? 0;
  const seen = (status.observedGeneration ?? 0) >= (metadata.generation ?? 0);
  if (!seen) return { done: false, text: "not yet seen by its controller" };
  // Pods of an OnDelete workload become new only when somebody deletes them.
  const renews = spec.updateStrategy?.type !== "OnDelete";
  const old = kind === "Deployment" ? (status.replicas ?? 0) - updated : 0;
  const done = (!renews || updated >= wanted) && available >= wanted && old <= 0;
  const ready = Math.min(updated, available);
  return {
    done,
    text: `${ready} of ${wanted} pods ready${!done && old > 0 ? `, ${old} old ones to go` : ""}`,
  };
}

/** What the workload's own controller says: quota, Pod Security, a service account that is not there. */
function blockedBy(workload: Workload): string | undefined {
  return workload.status?.conditions?.find(({ type, status }) => type === "ReplicaFailure" && status === "True")
    ?.message;
}

async function failure(
  client: KubeClient,
  ref: RolloutRef,
  text: string,
  trouble: PodTrouble | undefined,
  why: string | undefined,
): Promise<MeshError> {
  const subject = subjectOf(ref);
  if (trouble === undefined) {
    return new MeshError(
      why === undefined
        ? `${subject} did not become ready in time: ${text}`
        : `${subject} does not become ready: ${why}`,
      `Look at its events: kubectl -n ${ref.namespace} describe ${ref.kind.toLowerCase()} ${ref.name}`,
    );
  }
  const words = await lastWords(client, ref.namespace, trouble);
  return new MeshError(
    `${subject} does not become ready: ${trouble.message}${words === "" ? "" : `; its last words:\n${words}`}`,
    hintFor(trouble, ref),
  );
}

function hintFor(trouble: PodTrouble, { namespace }: RolloutRef): string {
  switch (trouble.kind) {
    case "image":
      return "Check the image's name and that the nodes can reach its registry, or load it onto them and name it (--node-image, --init-image).";
    case "crash":
      return `Read all of its log: kubectl -n ${namespace} logs ${trouble.pod} -c ${trouble.container} --previous`;
    case "unschedulable":
      return "Add a node, or free some of what its containers request.";
    case "config":
      return `Look at its events: kubectl -n ${namespace} describe pod ${trouble.pod}`;
  }
}

function rank({ kind }: PodTrouble): number {
  return ["crash", "image", "config", "unschedulable"].indexOf(kind);
}
