/** Takes the control plane off a cluster: nothing of it is left (DESIGN, "An install"). */
import { setTimeout as sleep } from "node:timers/promises";
import { apiVersionOf, resource, resourceOf } from "../kube/resources.ts";
import type { KubeClient, KubeObject, Resource } from "../kube/types.ts";
import { apiServiceNames, INJECTOR_WEBHOOK } from "../model/control-plane-rbac.ts";
import { CONTROL_PLANE_NAMESPACE, label, TRUST_ROOTS, WEFT } from "../model/names.ts";
import { isApplied } from "./apply-objects.ts";
import { controllerSelector } from "./control-plane-deployment.ts";
import { type ApiService, findControlPlane } from "./detect.ts";
import { MeshError } from "./errors.ts";
import { DEFAULT_TIMEOUT_MS } from "./install.ts";
import { meshedWorkloads } from "./meshed.ts";
import { isPodReady, type Pod } from "./pods.ts";
import { Progress, subjectOf } from "./progress.ts";
import { selectorText } from "./rollout.ts";
import type { PlannedObject, Run, UninstallPlan } from "./types.ts";

const POLL_MS = 1_000;

/**
 * Kinds in the order in which they go. First what the API server calls (an APIService that nobody serves keeps every
 * namespace of the cluster from being deleted), then what serves it, then what it was allowed.
 */
const ORDER: readonly Resource[] = [
  resource.mutatingWebhookConfigurations,
  resource.apiServices,
  resource.podDisruptionBudgets,
  resource.deployments,
  resource.services,
  resource.clusterRoleBindings,
  resource.roleBindings,
  resource.roles,
  resource.clusterRoles,
  resource.serviceAccounts,
  resource.configMaps,
  resource.namespaces,
];

/** On everything that an install applies or the controller makes. */
const OURS = `${label.managedBy}=${WEFT},${label.partOf}=${WEFT}`;

interface NamespaceObject extends KubeObject {
  status?: { readonly conditions?: readonly { readonly status: string; readonly message?: string }[] };
}

/** Finds everything by label, and what must never be left by name. Without objects: nothing is installed. */
export async function planUninstall(
  client: KubeClient,
  options: { readonly namespace?: string } = {},
): Promise<UninstallPlan> {
  const wanted = options.namespace ?? CONTROL_PLANE_NAMESPACE;
  const namespace = (await findControlPlane(client, wanted)) ?? wanted;
  const lists = await Promise.all(ORDER.map((entry) => findOurs(client, entry, namespace)));
  const objects = lists.flat();
  if (objects.length === 0) return { objects: [], notes: [], meshed: [] };
  const meshed = await meshedWorkloads(client, namespace);
  return { objects, meshed, notes: notesFor(meshed.length) };
}

function notesFor(meshed: number): string[] {
  if (meshed === 0) return [];
  return [
    "Pods that keep their proxy pass traffic on until their certificates expire (24 hours), and cannot be started again as they are: uninject them first.",
  ];
}

async function findOurs(client: KubeClient, entry: Resource, controlPlane: string): Promise<PlannedObject[]> {
  const { items } = await client.list(entry, { labelSelector: OURS });
  const found = new Map(
    [...items, ...(await namedOnes(client, entry, controlPlane))].map((object) => [keyOf(object), object]),
  );
  return [...found.values()].map(({ metadata: { name, namespace } }) => ({
    apiVersion: apiVersionOf(entry),
    kind: entry.kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    action: "delete",
    ...detailOf(entry, name),
  }));
}

/** What the API server calls, whatever became of its labels: left behind it would do harm. */
async function namedOnes(client: KubeClient, entry: Resource, controlPlane: string): Promise<KubeObject[]> {
  if (entry === resource.mutatingWebhookConfigurations) {
    const webhook = await client.find(entry, INJECTOR_WEBHOOK.configuration);
    return webhook === undefined ? [] : [webhook];
  }
  if (entry !== resource.apiServices) return [];
  const services = await Promise.all(apiServiceNames.map((name) => client.find<ApiService>(entry, name)));
  // The tap API may be that of a Linkerd.
  return services
    .filter((service) => service !== undefined)
    .filter(({ spec }) => spec.service?.namespace === controlPlane);
}

function detailOf(entry: Resource, name: string): { detail?: string } {
  if (entry === resource.namespaces) return { detail: "with all that is in it: certificates and their keys too" };
  if (name === TRUST_ROOTS.configMap) return { detail: "what proxies of this namespace trust" };
  return {};
}

/** Deletes in the plan's order and waits until the namespace is gone. @throws MeshError naming what hangs */
export async function applyUninstall(client: KubeClient, plan: UninstallPlan, run: Run = {}): Promise<void> {
  const deadline = performance.now() + (run.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const objects = plan.objects.filter(isApplied);
  const namespaces = objects.filter(({ kind }) => kind === "Namespace");
  const deployments = objects.filter(({ kind }) => kind === "Deployment");
  const progress = new Progress(run, objects.length + namespaces.length + deployments.length);
  for (const planned of objects) {
    run.signal?.throwIfAborted();
    await progress.step(subjectOf(planned), async () => {
      await client.delete(resourceOf(planned), planned.name, planned.namespace);
      return "deleted";
    });
    if (planned.kind === "Deployment") {
      // A controller that still runs would make again what is deleted next.
      await progress.step(`pods of ${subjectOf(planned)} gone`, (waiting) =>
        until(run, deadline, waiting, () => podsLeft(client, planned.namespace ?? "")),
      );
    }
  }
  for (const { name } of namespaces) {
    await progress.step(`Namespace ${name} gone`, (waiting) =>
      until(run, deadline, waiting, () => namespaceLeft(client, name)),
    );
  }
}

async function podsLeft(client: KubeClient, namespace: string): Promise<string | undefined> {
  const { items } = await client.list<Pod>(resource.pods, {
    namespace,
    labelSelector: selectorText({ matchLabels: controllerSelector }),
  });
  return items.length === 0 ? undefined : `${items.length} still ending`;
}

/** What keeps a namespace; undefined where it is gone. */
async function namespaceLeft(client: KubeClient, name: string): Promise<string | undefined> {
  const namespace = await client.find<NamespaceObject>(resource.namespaces, name);
  if (namespace === undefined) return undefined;
  const hanging = (namespace.status?.conditions ?? []).filter(({ status }) => status === "True");
  if (hanging.length > 0) return hanging.map(({ message }) => message).join(" ");
  const { items } = await client.list<Pod>(resource.pods, { namespace: name });
  const ending = items.filter((pod) => isPodReady(pod) || pod.metadata.deletionTimestamp !== undefined);
  return ending.length === 0 ? "its content is being deleted" : `${ending.length} pods still ending`;
}

async function until(
  run: Run,
  deadline: number,
  waiting: (detail: string) => void,
  whatIsLeft: () => Promise<string | undefined>,
): Promise<undefined> {
  for (;;) {
    run.signal?.throwIfAborted();
    const left = await whatIsLeft();
    if (left === undefined) return undefined;
    waiting(left);
    if (performance.now() > deadline) {
      throw new MeshError(
        `the uninstall does not come to an end: ${left}`,
        "An APIService that is not available keeps namespaces from being deleted: kubectl get apiservices. Finalizers must be removed by who set them.",
      );
    }
    await sleep(POLL_MS, undefined, run.signal === undefined ? {} : { signal: run.signal });
  }
}

function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return `${namespace ?? ""}/${name}`;
}
