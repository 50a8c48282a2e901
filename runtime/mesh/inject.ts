/**
 * Gives pods a proxy, and takes it away again: an annotation on a namespace or a pod template, then a restart. What would
 * keep a pod from starting is found by a trial first, and refused.
 */
import { resource } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";
import { annotation, CONTROL_PLANE_NAMESPACE, INSTALLER_FIELD_MANAGER, label } from "../model/names.ts";
import { concurrently } from "./concurrently.ts";
import { detectMesh } from "./detect.ts";
import { MeshError } from "./errors.ts";
import { DEFAULT_TIMEOUT_MS } from "./install.ts";
import { asksForProxy } from "./meshed.ts";
import { Progress, subjectOf } from "./progress.ts";
import { type Patience, podsOf, type RolloutKind, rolloutResource, type Workload, waitForRollout } from "./rollout.ts";
import type { InjectPlan, InjectTarget, Run, WorkloadRef } from "./types.ts";
import { probeWebhook, waitForWebhook } from "./webhook-probe.ts";
import { type Candidate, candidatesOf, isMeshed, obstacle, restartObstacle } from "./workloads.ts";

/** Namespaces that the webhook never sees (the webhook's namespaceSelector). */
const NEVER_INJECTED = ["kube-system", "cert-manager"];
const ENFORCE = "pod-security.kubernetes.io/enforce";
/** Levels whose rules let no container add NET_ADMIN (Pod Security Standards, "Capabilities"). */
const FORBIDDING = ["baseline", "restricted"];

export interface InjectOptions {
  /** Namespace of the control plane, default `weft`. */
  readonly controlPlane?: string;
}

/** Contacts the cluster, changes nothing. @throws MeshError where the namespace or the workload does not exist */
export async function planInject(
  client: KubeClient,
  target: InjectTarget,
  options: InjectOptions = {},
): Promise<InjectPlan> {
  const controlPlane = options.controlPlane ?? CONTROL_PLANE_NAMESPACE;
  const namespace = await readNamespace(client, target.namespace);
  const refusal = namespaceRefusal(namespace, controlPlane) ?? (await meshRefusal(client, controlPlane));
  if (refusal !== undefined) return { target, restarts: [], skipped: [], refusal };
  const verdicts = await concurrently(await candidatesOf(client, target), async (candidate) => ({
    workload: candidate.ref,
    reason: await injectObstacle(client, candidate, controlPlane, target.kind !== "Namespace"),
  }));
  return planOf(target, verdicts);
}

async function injectObstacle(
  client: KubeClient,
  candidate: Candidate,
  controlPlane: string,
  asked: boolean,
): Promise<string | undefined> {
  const never = await obstacle(client, candidate, asked);
  if (never !== undefined) return never;
  const { pods } = candidate;
  if (pods.length > 0 && pods.every((pod) => isMeshed(pod, controlPlane))) return "is meshed already";
  const fixed = restartObstacle(candidate, true);
  if (fixed !== undefined) return fixed;
  const trial = await probeWebhook(client, candidate.ref.namespace, templateOf(candidate));
  const refused = trial.kind === "refused" && trial.error.status < 500;
  return refused ? `a trial was refused: ${trial.error.message}` : undefined;
}

/** Restarts what carries a proxy. */
export async function planUninject(
  client: KubeClient,
  target: InjectTarget,
  options: InjectOptions = {},
): Promise<InjectPlan> {
  const controlPlane = options.controlPlane ?? CONTROL_PLANE_NAMESPACE;
  await readNamespace(client, target.namespace);
  const candidates = await candidatesOf(client, target);
  const verdicts = candidates.map((candidate) => ({
    workload: candidate.ref,
    reason: candidate.pods.some((pod) => isMeshed(pod, controlPlane))
      ? restartObstacle(candidate, false)
      : "carries no proxy",
  }));
  return planOf(target, verdicts);
}

function planOf(
  target: InjectTarget,
  verdicts: readonly { readonly workload: WorkloadRef; readonly reason: string | undefined }[],
): InjectPlan {
  const skipped = verdicts.flatMap(({ workload, reason }) => (reason === undefined ? [] : [{ workload, reason }]));
  const restarts = verdicts.filter(({ reason }) => reason === undefined).map(({ workload }) => workload);
  return { target, restarts, skipped };
}

/**
 * Waits until the webhook answers a trial, annotates, restarts and waits for each rollout.
 * @throws MeshError with the plan's refusal, or the reason why pods do not become ready
 */
export async function applyInject(client: KubeClient, plan: InjectPlan, run: Run = {}): Promise<void> {
  if (plan.refusal !== undefined) throw new MeshError(plan.refusal);
  const { target, restarts } = plan;
  const patience = patienceOf(run);
  const progress = new Progress(run, 2 + 2 * restarts.length);
  await progress.step("webhook answers", async (waiting) => {
    const [first] = restarts;
    const template =
      first === undefined ? undefined : templateOf({ template: (await read(client, first)).spec.template });
    await waitForWebhook(client, target.namespace, patience, waiting, template);
    return "a pod for trial came back with a proxy";
  });
  await progress.step(`annotation of ${subjectOf(target)}`, async () => {
    await annotate(client, target, "enabled");
    return `${annotation.inject}: enabled`;
  });
  await restartAll(client, restarts, progress, patience, true);
}

/** Takes the annotation away, restarts and waits for each rollout. @throws as {@link applyInject} */
export async function applyUninject(client: KubeClient, plan: InjectPlan, run: Run = {}): Promise<void> {
  if (plan.refusal !== undefined) throw new MeshError(plan.refusal);
  const { target, restarts } = plan;
  const progress = new Progress(run, 1 + 2 * restarts.length);
  await progress.step(`annotation of ${subjectOf(target)}`, async () => await removeAnnotations(client, target));
  await restartAll(client, restarts, progress, patienceOf(run), false);
}

async function removeAnnotations(client: KubeClient, target: InjectTarget): Promise<string> {
  if (target.kind === "Namespace") {
    await annotate(client, target, null);
    // A workload's own annotation would keep its proxy.
    for (const { ref, template } of await candidatesOf(client, target)) {
      if (!isRollout(ref) || !asksForProxy(template.metadata?.annotations)) continue;
      await annotate(client, ref, null);
    }
    return "removed";
  }
  const namespace = await readNamespace(client, target.namespace);
  const inherited = asksForProxy(namespace.metadata.annotations);
  await annotate(client, target, inherited ? "disabled" : null);
  return inherited ? `${annotation.inject}: disabled, its namespace says enabled` : "removed";
}

async function annotate(client: KubeClient, target: InjectTarget, value: string | null): Promise<void> {
  const metadata = { annotations: { [annotation.inject]: value } };
  const options = { type: "merge", fieldManager: INSTALLER_FIELD_MANAGER } as const;
  if (target.kind === "Namespace") {
    await client.patch(resource.namespaces, target.name, undefined, { metadata }, options);
    return;
  }
  const patch = { spec: { template: { metadata } } };
  await client.patch(rolloutResource(target.kind), target.name, target.namespace, patch, options);
}

async function restartAll(
  client: KubeClient,
  restarts: readonly WorkloadRef[],
  progress: Progress,
  patience: Patience,
  meshed: boolean,
): Promise<void> {
  const rollouts = restarts.filter(isRollout);
  for (const ref of rollouts) {
    patience.signal?.throwIfAborted();
    await progress.step(`restart of ${subjectOf(ref)}`, async () => {
      await restart(client, ref);
      return undefined;
    });
  }
  for (const ref of rollouts) {
    await progress.step(subjectOf(ref), async (waiting) => {
      const text = await waitForRollout(client, ref, patience, waiting);
      await requireProxies(client, ref, meshed);
      return text;
    });
  }
}

/** As kubectl rollout restart: a new pod template, so the workload's own strategy decides how it goes. */
async function restart(client: KubeClient, ref: Restartable): Promise<void> {
  const annotations = { [annotation.restartedAt]: new Date().toISOString() };
  const patch = { spec: { template: { metadata: { annotations } } } };
  const options = { type: "merge", fieldManager: INSTALLER_FIELD_MANAGER } as const;
  await client.patch(rolloutResource(ref.kind), ref.name, ref.namespace, patch, options);
}

/** The rollout is done: did its pods get what was promised? */
async function requireProxies(client: KubeClient, ref: Restartable, meshed: boolean): Promise<void> {
  const pods = await podsOf(client, await read(client, ref));
  const other = pods.filter(
    ({ metadata }) => (metadata.labels?.[label.controlPlaneNamespace] !== undefined) !== meshed,
  );
  if (other.length === 0) return;
  const names = other.map(({ metadata }) => metadata.name).join(", ");
  if (meshed) {
    throw new MeshError(
      `${subjectOf(ref)} is ready, but without a proxy in ${names}`,
      "The webhook did not answer when they started (it lets pods pass then): run weft check, then inject again.",
    );
  }
  throw new MeshError(`${subjectOf(ref)} still carries a proxy in ${names}`, "Look at its pod template's annotations.");
}

type Restartable = WorkloadRef & { readonly kind: RolloutKind };

function isRollout(ref: WorkloadRef): ref is Restartable {
  return ref.kind === "Deployment" || ref.kind === "StatefulSet" || ref.kind === "DaemonSet";
}

async function read(client: KubeClient, ref: WorkloadRef): Promise<Workload> {
  return await client.get<Workload>(rolloutResource(ref.kind as RolloutKind), ref.name, ref.namespace);
}

function templateOf({ template }: Pick<Candidate, "template">): Parameters<typeof probeWebhook>[2] {
  const { metadata, spec } = template;
  return {
    spec,
    ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
    ...(metadata?.annotations === undefined ? {} : { annotations: metadata.annotations }),
  };
}

function patienceOf(run: Run): Patience {
  return { deadline: performance.now() + (run.timeoutMs ?? DEFAULT_TIMEOUT_MS), signal: run.signal };
}

async function readNamespace(client: KubeClient, name: string): Promise<KubeObject> {
  const namespace = await client.find(resource.namespaces, name);
  if (namespace !== undefined) return namespace;
  throw new MeshError(`there is no namespace ${name}`, "See which there are: kubectl get namespaces");
}

function namespaceRefusal({ metadata }: KubeObject, controlPlane: string): string | undefined {
  const { name, labels = {} } = metadata;
  if (name === controlPlane) return `Namespace ${name} holds the mesh itself: its pods get no proxy.`;
  if (NEVER_INJECTED.includes(name))
    return `Pods of namespace ${name} never get a proxy: they must start when the mesh is down.`;
  if (labels[label.admissionWebhooks] === "disabled") {
    return `Namespace ${name} is left out by its label ${label.admissionWebhooks}=disabled. Remove that label first.`;
  }
  const level = labels[ENFORCE] ?? "";
  if (FORBIDDING.includes(level)) {
    return `Pod Security forbids it: the label ${ENFORCE}=${level} of namespace ${name} lets no container add NET_ADMIN, which the init container needs to set the redirect. Set the label to privileged (kubectl label --overwrite namespace ${name} ${ENFORCE}=privileged), or choose another namespace.`;
  }
  return undefined;
}

async function meshRefusal(client: KubeClient, controlPlane: string): Promise<string | undefined> {
  const state = await detectMesh(client, controlPlane);
  switch (state.kind) {
    case "absent":
      return "No mesh is installed in this cluster. Install it first: weft install.";
    case "other":
      return `This cluster has ${state.name} ${state.version} (namespace ${state.namespace}): use its own means.`;
    case "installed":
      return state.ready ? undefined : `The mesh does not serve: ${state.reason ?? "not ready"}. Run weft check.`;
  }
}
