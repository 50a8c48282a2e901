/** Puts the demo on a cluster that has the mesh, and takes it away again. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { resource } from "../kube/resources.ts";
import type { KubeClient } from "../kube/types.ts";
import { CONTROL_PLANE_NAMESPACE, INSTALLER_FIELD_MANAGER, label } from "../model/names.ts";
import { applyPlanned, isApplied, planObjects } from "./apply-objects.ts";
import { DEMO_NAMESPACE, DEMO_UNMESHED_CLIENT, demoObjects } from "./demo-objects.ts";
import { detectMesh, readMeshConfig } from "./detect.ts";
import { MeshError } from "./errors.ts";
import { DEFAULT_NODE_IMAGE } from "./images.ts";
import { DEFAULT_TIMEOUT_MS } from "./install.ts";
import { Progress, subjectOf } from "./progress.ts";
import { type Patience, waitForRollout } from "./rollout.ts";
import type { Plan, Run } from "./types.ts";
import { waitForWebhook } from "./webhook-probe.ts";

const POLL_MS = 1_000;
/** There before the demo's namespace is. */
const TRIAL_NAMESPACE = "default";

export interface DemoOptions {
  /** Folder that holds the programs, as for an install. */
  readonly runtimeFolder: string;
  /** Any image with Node; default the one that the mesh runs. */
  readonly nodeImage?: string;
  /** Namespace of the control plane, default `weft`. */
  readonly controlPlane?: string;
}

/** @throws MeshError where the mesh is missing or not ready, or the namespace is somebody else's */
export async function planDemo(client: KubeClient, options: DemoOptions): Promise<Plan> {
  const controlPlane = options.controlPlane ?? CONTROL_PLANE_NAMESPACE;
  await requireMesh(client, controlPlane);
  const there = await demoNamespaceExists(client);
  const image = options.nodeImage ?? (await readMeshConfig(client, controlPlane))?.images.node ?? DEFAULT_NODE_IMAGE;
  const objects = demoObjects(await readProgram(options.runtimeFolder), image);
  const missing = there ? [] : [DEMO_NAMESPACE];
  return { objects: await planObjects(client, objects, new Set(missing)), notes: [] };
}

async function requireMesh(client: KubeClient, controlPlane: string): Promise<void> {
  const state = await detectMesh(client, controlPlane);
  if (state.kind === "installed" && state.ready) return;
  if (state.kind === "installed") {
    throw new MeshError(`the mesh does not serve: ${state.reason ?? "not ready"}`, "Run weft check.");
  }
  const found = state.kind === "other" ? `${state.name} ${state.version}, not Weft` : "no mesh";
  throw new MeshError(
    `the demo shows the mesh at work, and this cluster has ${found}`,
    "Install it first: weft install.",
  );
}

async function demoNamespaceExists(client: KubeClient): Promise<boolean> {
  const namespace = await client.find(resource.namespaces, DEMO_NAMESPACE);
  if (namespace === undefined) return false;
  if (namespace.metadata.deletionTimestamp !== undefined) {
    throw new MeshError(`namespace ${DEMO_NAMESPACE} is still being deleted`, "Wait until it is gone, then try again.");
  }
  if (namespace.metadata.labels?.[label.partOf] === DEMO_NAMESPACE) return true;
  throw new MeshError(
    `there is a namespace ${DEMO_NAMESPACE} that is not the demo's (it lacks the label ${label.partOf}=${DEMO_NAMESPACE})`,
    "Delete or rename it, or choose another cluster.",
  );
}

async function readProgram(folder: string): Promise<string> {
  const path = join(folder, "demo", "main.cjs");
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new MeshError(
      `the demo's program is missing: ${path}`,
      "In a checkout run npm run build; an installed Weft is damaged: install it again.",
      { cause },
    );
  }
}

/** Applies and waits until every agent is ready. @throws MeshError with the reason why one is not */
export async function applyDemo(client: KubeClient, plan: Plan, run: Run = {}): Promise<void> {
  const patience = patienceOf(run);
  const changes = plan.objects.filter(isApplied);
  const deployments = plan.objects.filter(({ kind }) => kind === "Deployment");
  const progress = new Progress(run, 1 + changes.length + deployments.length);
  // A pod that starts while the webhook does not answer runs without a proxy and shows nothing.
  await progress.step("webhook answers", async (waiting) => {
    await waitForWebhook(client, TRIAL_NAMESPACE, patience, waiting);
    return undefined;
  });
  await applyPlanned(client, changes, progress, run.signal);
  for (const { name } of deployments) {
    const ref = { kind: "Deployment", namespace: DEMO_NAMESPACE, name } as const;
    await progress.step(`${subjectOf(ref)} ready`, (waiting) => waitForRollout(client, ref, patience, waiting));
  }
}

/** Starts (1) or stops (0) the client without a proxy: with it the gateway's mTLS is partial. */
export async function scaleUnmeshedClient(client: KubeClient, replicas: 0 | 1, run: Run = {}): Promise<void> {
  const ref = { kind: "Deployment", namespace: DEMO_NAMESPACE, name: DEMO_UNMESHED_CLIENT } as const;
  const progress = new Progress(run, 1);
  await progress.step(subjectOf(ref), async (waiting) => {
    const options = { type: "merge", fieldManager: INSTALLER_FIELD_MANAGER } as const;
    await client.patch(resource.deployments, ref.name, ref.namespace, { spec: { replicas } }, options);
    return await waitForRollout(client, ref, patienceOf(run), waiting);
  });
}

/** Without objects: the demo is not there. */
export async function planRemoveDemo(client: KubeClient): Promise<Plan> {
  if (!(await demoNamespaceExists(client))) return { objects: [], notes: [] };
  const detail = "with all that is in it";
  const namespace = { apiVersion: "v1", kind: "Namespace", name: DEMO_NAMESPACE, action: "delete", detail } as const;
  return { objects: [namespace], notes: [] };
}

/** Deletes and waits until the namespace is gone. */
export async function applyRemoveDemo(client: KubeClient, plan: Plan, run: Run = {}): Promise<void> {
  const { deadline, signal } = patienceOf(run);
  const progress = new Progress(run, plan.objects.length * 2);
  await applyPlanned(client, plan.objects, progress, signal);
  for (const { name } of plan.objects) {
    await progress.step(`Namespace ${name} gone`, async (waiting) => {
      while ((await client.find(resource.namespaces, name)) !== undefined) {
        signal?.throwIfAborted();
        waiting("its pods finish what they have begun");
        if (performance.now() > deadline) {
          throw new MeshError(
            `namespace ${name} is not gone in time`,
            `See what keeps it: kubectl get namespace ${name} -o yaml`,
          );
        }
        await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
      }
      return undefined;
    });
  }
}

function patienceOf(run: Run): Patience {
  return { deadline: performance.now() + (run.timeoutMs ?? DEFAULT_TIMEOUT_MS), signal: run.signal };
}
