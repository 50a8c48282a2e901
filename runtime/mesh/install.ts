/** Puts the control plane on a cluster, or brings the one that is there up to date: plan, apply, wait (DESIGN, "An install"). */
import { setTimeout as sleep } from "node:timers/promises";
import { resource, resourceOf } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";
import { apiServiceNames, INJECTOR_WEBHOOK } from "../model/control-plane-rbac.ts";
import { DEFAULT_TRUST_DOMAIN } from "../model/identity.ts";
import type { MeshConfig } from "../model/mesh-config.ts";
import { CONTROL_PLANE_NAMESPACE, controllerBundleName, proxyBundleName } from "../model/names.ts";
import { DEFAULT_CLUSTER_NETWORKS, DEFAULT_OPAQUE_PORTS } from "../model/ports.ts";
import { applyPlanned, isApplied, planObjects } from "./apply-objects.ts";
import { type Bundles, loadBundles } from "./bundle.ts";
import { controlPlaneObjects, inClusterObjects } from "./control-plane.ts";
import { CONTROLLER_DEPLOYMENT } from "./control-plane-deployment.ts";
import { type ApiService, apiServiceProblem, readMeshConfig } from "./detect.ts";
import { MeshError } from "./errors.ts";
import { DEFAULT_INIT_IMAGE, DEFAULT_NODE_IMAGE } from "./images.ts";
import {
  namespaceIsMissing,
  refuseBesideOthers,
  refuseForeignApis,
  requireKubernetes,
  requireProcessors,
} from "./preconditions.ts";
import { Progress } from "./progress.ts";
import { requireInstallRights } from "./rights.ts";
import { type Patience, type Workload, waitForRollout } from "./rollout.ts";
import type { InstallOptions, Plan, PlannedObject, Run } from "./types.ts";
import { WEFT_VERSION } from "./version.ts";
import { waitForWebhook } from "./webhook-probe.ts";

export const DEFAULT_TIMEOUT_MS = 5 * 60_000;
const POLL_MS = 1_000;
/** A namespace that every cluster has: a pod for trial shows that the webhook answers. */
const TRIAL_NAMESPACE = "default";
const PROXY_BUNDLE_PREFIX = proxyBundleName("");
const CONTROLLER_BUNDLE_PREFIX = controllerBundleName("");

/**
 * What an install would do. Contacts the cluster, changes nothing. Options that are left out keep what the installation
 * that is there decided.
 * @throws MeshError where it must not be: another mesh, an old Kubernetes, missing rights, a namespace on its way out
 */
export async function planInstall(client: KubeClient, options: InstallOptions): Promise<Plan> {
  const namespace = options.namespace ?? CONTROL_PLANE_NAMESPACE;
  const bundles = await loadBundles(options.runtimeFolder);
  await requireKubernetes(client);
  await requireProcessors(client, bundles.proxy);
  await refuseBesideOthers(client, namespace);
  await requireInstallRights(client);
  await refuseForeignApis(client, namespace);
  const missing = await namespaceIsMissing(client, namespace);
  const before = missing ? undefined : await readMeshConfig(client, namespace);
  const config = meshConfig(namespace, options, bundles, before);
  const there = missing ? [] : await bundlesIn(client, namespace);
  const replicas = options.replicas ?? (missing ? undefined : await replicasNow(client, namespace)) ?? 1;
  const objects = controlPlaneObjects(config, bundles, {
    replicas,
    proxyHashes: there.flatMap((name) =>
      name.startsWith(PROXY_BUNDLE_PREFIX) ? [name.slice(PROXY_BUNDLE_PREFIX.length)] : [],
    ),
  });
  const planned = await planObjects(client, objects, new Set(missing ? [namespace] : []));
  return {
    objects: [
      ...planned,
      ...(await madeInCluster(client, namespace)),
      ...(replicas === 1 ? await disruptionBudgetsOf(client, namespace) : []),
      ...outdated(there, bundles, namespace),
    ],
    notes: notes(config, before),
  };
}

/**
 * Applies a plan and waits until the mesh serves: Deployment available, aggregated APIs available, webhook answering.
 * @throws MeshError with the reason as soon as it is clear that it will not, or after `run.timeoutMs`
 */
export async function applyInstall(client: KubeClient, plan: Plan, run: Run = {}): Promise<void> {
  const patience: Patience = {
    deadline: performance.now() + (run.timeoutMs ?? DEFAULT_TIMEOUT_MS),
    signal: run.signal,
  };
  const namespace = namespaceOf(plan);
  const changes = plan.objects.filter(isApplied);
  const doors = changes.filter(isDoor);
  const removals = changes.filter(({ action }) => action === "delete");
  const inside = changes.filter((planned) => !doors.includes(planned) && !removals.includes(planned));
  const progress = new Progress(run, changes.length + 2 + apiServiceNames.length);
  await applyPlanned(client, inside, progress, run.signal);
  await progress.step(`Deployment ${namespace}/${CONTROLLER_DEPLOYMENT} ready`, (waiting) =>
    waitForRollout(client, { kind: "Deployment", namespace, name: CONTROLLER_DEPLOYMENT }, patience, waiting),
  );
  await applyPlanned(client, doors, progress, run.signal);
  for (const name of apiServiceNames) {
    await progress.step(`APIService ${name} available`, (waiting) =>
      waitForApiService(client, name, patience, waiting),
    );
  }
  await progress.step("webhook answers", async (waiting) => {
    await waitForWebhook(client, TRIAL_NAMESPACE, patience, waiting);
    return "a pod for trial came back with a proxy";
  });
  await applyPlanned(client, removals, progress, run.signal);
}

function namespaceOf(plan: Plan): string {
  return plan.objects.find(({ kind }) => kind === "Namespace")?.name ?? CONTROL_PLANE_NAMESPACE;
}

/**
 * Through these the API server calls the control plane: they come when somebody answers. An APIService that nobody answers
 * keeps every namespace of the cluster from being deleted.
 */
function isDoor({ kind, action }: PlannedObject): boolean {
  return action !== "delete" && (kind === "MutatingWebhookConfiguration" || kind === "APIService");
}

function meshConfig(
  namespace: string,
  options: InstallOptions,
  bundles: Bundles,
  before: MeshConfig | undefined,
): MeshConfig {
  return {
    version: WEFT_VERSION,
    controlPlaneNamespace: namespace,
    trustDomain: options.trustDomain ?? before?.trustDomain ?? DEFAULT_TRUST_DOMAIN,
    clusterDomain: options.clusterDomain ?? before?.clusterDomain ?? "cluster.local",
    clusterNetworks: before?.clusterNetworks ?? DEFAULT_CLUSTER_NETWORKS,
    images: {
      node: options.nodeImage ?? before?.images.node ?? DEFAULT_NODE_IMAGE,
      init: options.initImage ?? before?.images.init ?? DEFAULT_INIT_IMAGE,
      pullPolicy: before?.images.pullPolicy ?? "IfNotPresent",
    },
    proxy: {
      hash: bundles.proxy.hash,
      digests: bundles.proxy.digests,
      loader: bundles.loader,
      logLevel: before?.proxy.logLevel ?? "warn,linkerd=info",
      resources: before?.proxy.resources ?? { requests: { cpu: "10m", memory: "20Mi" } },
    },
    defaultInboundPolicy: before?.defaultInboundPolicy ?? "all-unauthenticated",
    opaquePorts: before?.opaquePorts ?? DEFAULT_OPAQUE_PORTS,
    ...(before?.http2Upgrade === undefined ? {} : { http2Upgrade: before.http2Upgrade }),
  };
}

function notes(config: MeshConfig, before: MeshConfig | undefined): string[] {
  const lines: string[] = [];
  if (before !== undefined && before.version !== config.version) {
    lines.push(`Weft ${before.version} becomes ${config.version}.`);
  }
  if (before !== undefined && before.proxy.hash !== config.proxy.hash) {
    lines.push("Pods keep the proxy that they run until they are restarted; new pods get the new one.");
  }
  if (before !== undefined && before.trustDomain !== config.trustDomain) {
    lines.push("The trust domain changes: meshed pods and new ones do not trust each other until all are restarted.");
  }
  return lines;
}

async function replicasNow(client: KubeClient, namespace: string): Promise<number | undefined> {
  return (await client.find<Workload>(resource.deployments, CONTROLLER_DEPLOYMENT, namespace))?.spec.replicas;
}

async function bundlesIn(client: KubeClient, namespace: string): Promise<string[]> {
  const { items } = await client.list(resource.configMaps, { namespace });
  return items
    .map(({ metadata }) => metadata.name)
    .filter((name) => name.startsWith(PROXY_BUNDLE_PREFIX) || name.startsWith(CONTROLLER_BUNDLE_PREFIX));
}

/** One replica alone needs none: it would only keep its node from being drained. */
async function disruptionBudgetsOf(client: KubeClient, namespace: string): Promise<PlannedObject[]> {
  const found = await client.find(resource.podDisruptionBudgets, CONTROLLER_DEPLOYMENT, namespace);
  if (found === undefined) return [];
  const { apiVersion, kind, metadata } = found;
  return [{ apiVersion, kind, namespace, name: metadata.name, action: "delete", detail: "one replica needs none" }];
}

/** Controllers of versions before: nothing runs them once the new one is ready. The controller removes proxies itself. */
function outdated(there: readonly string[], bundles: Bundles, namespace: string): PlannedObject[] {
  return there
    .filter((name) => name.startsWith(CONTROLLER_BUNDLE_PREFIX))
    .filter((name) => name !== controllerBundleName(bundles.controller.hash))
    .map((name) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      namespace,
      name,
      action: "delete",
      detail: "a controller of before, once the new one is ready",
    }));
}

/** What is there already is shown as unchanged; what may not be read as still to be made. */
async function madeInCluster(client: KubeClient, namespace: string): Promise<PlannedObject[]> {
  const objects = await Promise.all(
    inClusterObjects(namespace).map(async (planned): Promise<PlannedObject> => {
      const found = await client.find(resourceOf(planned), planned.name, planned.namespace);
      return found === undefined ? planned : { ...planned, action: "unchanged" };
    }),
  );
  return [...objects, ...(await caBundles(client))];
}

/** The field of theirs that is never the installer's. */
async function caBundles(client: KubeClient): Promise<PlannedObject[]> {
  interface Webhook extends KubeObject {
    webhooks?: readonly { readonly clientConfig?: { readonly caBundle?: string } }[];
  }
  const detail = "its field caBundle: set by the controller";
  const { mutatingWebhookConfigurations, apiServices } = resource;
  const webhook = await client.find<Webhook>(mutatingWebhookConfigurations, INJECTOR_WEBHOOK.configuration);
  const services = await Promise.all(apiServiceNames.map((name) => client.find<ApiService>(apiServices, name)));
  const action = (caBundle: string | undefined) => (caBundle ? "unchanged" : "in-cluster");
  return [
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      name: INJECTOR_WEBHOOK.configuration,
      action: action(webhook?.webhooks?.[0]?.clientConfig?.caBundle),
      detail,
    },
    ...apiServiceNames.map(
      (name, index): PlannedObject => ({
        apiVersion: "apiregistration.k8s.io/v1",
        kind: "APIService",
        name,
        action: action(services[index]?.spec.caBundle),
        detail,
      }),
    ),
  ];
}

async function waitForApiService(
  client: KubeClient,
  name: string,
  patience: Patience,
  waiting: (detail: string) => void,
): Promise<undefined> {
  for (;;) {
    patience.signal?.throwIfAborted();
    const problem = apiServiceProblem(await client.find<ApiService>(resource.apiServices, name));
    if (problem === undefined) return undefined;
    waiting(problem);
    if (performance.now() > patience.deadline) {
      throw new MeshError(
        `APIService ${name} ${problem}`,
        "The API server must reach port 10250 of the control plane's pods; while it does not, namespaces cannot be deleted: weft uninstall takes it away.",
      );
    }
    await sleep(POLL_MS, undefined, patience.signal === undefined ? {} : { signal: patience.signal });
  }
}
