/** Deployments: one ReplicaSet a template, rolled from old to new within maxSurge and maxUnavailable. */
import { createHash } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import { copy, type Fields, fieldsAt, keyOf, numberAt, type StoredObject, same, stringAt } from "../api/object.ts";
import { StatusError } from "../api/status.ts";
import { canonical } from "./canonical.ts";
import { deploymentStatus } from "./deployment-status.ts";
import { type Controller, type ControllerContext, parseKey, WorkQueue } from "./queue.ts";
import { controllerOf, isActive, ownerReference } from "./replica-sets.ts";

const CONTROLLER = "deployment-controller";
const HASH = "pod-template-hash";
const REVISION = "deployment.kubernetes.io/revision";
const DESIRED = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS = "deployment.kubernetes.io/max-replicas";
const NOT_COPIED = ["kubectl.kubernetes.io/last-applied-configuration", REVISION, DESIRED, MAX_REPLICAS];

export function startDeployments({ api, report }: ControllerContext): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const stops = [
    api.watch(resource.deployments, ({ object }) => queue.add(keyOf(object.metadata.namespace, object.metadata.name))),
    api.watch(resource.replicaSets, ({ object }) => {
      const owner = controllerOf(object);
      if (owner?.kind === "Deployment") queue.add(keyOf(object.metadata.namespace, owner.name));
    }),
    api.watch(resource.pods, ({ object, type }) => {
      // Recreate waits for the last old pod to be gone.
      if (type !== "deleted") return;
      const set = controllerOf(object);
      const parent = set === undefined ? undefined : api.get(resource.replicaSets, set.name, object.metadata.namespace);
      const owner = parent === undefined ? undefined : controllerOf(parent);
      if (owner !== undefined) queue.add(keyOf(object.metadata.namespace, owner.name));
    }),
  ];

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = parseKey(key);
    const deployment = api.get<StoredObject>(resource.deployments, name, namespace);
    if (deployment === undefined || deployment.metadata.deletionTimestamp !== undefined) return;
    const sets = ownSets(deployment);
    const current = sets.find((set) => same(templateWithoutHash(set), fieldsAt(deployment, "spec", "template")));
    const paused = fieldsAt(deployment, "spec")["paused"] === true;
    const newSet = current ?? (paused ? undefined : await createSet(deployment));
    if (newSet !== undefined && !paused) {
      keepRevision(deployment, newSet, sets);
      const old = ownSets(deployment).filter((set) => set.metadata.uid !== newSet.metadata.uid);
      if (stringAt(deployment, "spec", "strategy", "type") === "Recreate") recreate(deployment, newSet, old);
      else roll(deployment, newSet, old);
      tidy(deployment, old);
    } else if (newSet !== undefined) scale(newSet, numberAt(deployment, "spec", "replicas") ?? 1, deployment);
    writeStatus(key);
  }

  function ownSets(deployment: StoredObject): StoredObject[] {
    return api
      .list<StoredObject>(resource.replicaSets, deployment.metadata.namespace)
      .filter((set) => controllerOf(set)?.uid === deployment.metadata.uid);
  }

  async function createSet(deployment: StoredObject): Promise<StoredObject> {
    for (let collisions = numberAt(deployment, "status", "collisionCount") ?? 0; ; collisions++) {
      const wanted = newSetOf(deployment, collisions);
      try {
        return (await api.admitted(resource.replicaSets, wanted, CONTROLLER)) as StoredObject;
      } catch (error) {
        if (!(error instanceof StatusError) || error.reason !== "AlreadyExists" || collisions > 10) throw error;
      }
    }
  }

  /** The new ReplicaSet carries the next revision, the Deployment the same. */
  function keepRevision(deployment: StoredObject, newSet: StoredObject, sets: readonly StoredObject[]): void {
    const others = sets.filter((set) => set.metadata.uid !== newSet.metadata.uid).map(revisionOf);
    const own = revisionOf(newSet);
    const revision = String(own > Math.max(0, ...others) ? own : Math.max(0, ...others) + 1);
    const { name, namespace } = newSet.metadata;
    const inherited = Object.entries(deployment.metadata.annotations ?? {}).filter(
      ([key]) => !NOT_COPIED.includes(key),
    );
    api.update<StoredObject>(resource.replicaSets, name, namespace, (draft) => {
      draft.metadata.annotations = {
        ...draft.metadata.annotations,
        ...Object.fromEntries(inherited),
        [REVISION]: revision,
      };
    });
    api.update<StoredObject>(resource.deployments, deployment.metadata.name, namespace, (draft) => {
      draft.metadata.annotations = { ...draft.metadata.annotations, [REVISION]: revision };
    });
  }

  function roll(deployment: StoredObject, newSet: StoredObject, old: readonly StoredObject[]): void {
    const wanted = numberAt(deployment, "spec", "replicas") ?? 1;
    const { surge, unavailable } = limits(deployment, wanted);
    const present = replicas(newSet);
    const total = present + old.reduce((sum, set) => sum + replicas(set), 0);
    let grown = present;
    if (present > wanted) grown = wanted;
    else if (present < wanted) grown = present + Math.max(0, Math.min(wanted + surge - total, wanted - present));
    scale(newSet, grown, deployment);

    // Old pods that serve nobody go first; then as many as availability allows.
    const allPods = grown + old.reduce((sum, set) => sum + replicas(set), 0);
    const minAvailable = wanted - unavailable;
    const newUnavailable = grown - available(newSet);
    let budget = allPods - minAvailable - newUnavailable;
    for (const set of old) {
      if (budget <= 0) break;
      const unhealthy = Math.min(budget, replicas(set) - available(set));
      if (unhealthy <= 0) continue;
      scale(set, replicas(set) - unhealthy, deployment);
      budget -= unhealthy;
    }
    let spare = available(newSet) + old.reduce((sum, set) => sum + available(set), 0) - minAvailable;
    for (const set of old) {
      if (spare <= 0) break;
      const now = api.get<StoredObject>(resource.replicaSets, set.metadata.name, set.metadata.namespace) ?? set;
      const gone = Math.min(spare, replicas(now), available(set));
      if (gone <= 0) continue;
      scale(now, replicas(now) - gone, deployment);
      spare -= gone;
    }
  }

  function recreate(deployment: StoredObject, newSet: StoredObject, old: readonly StoredObject[]): void {
    for (const set of old) scale(set, 0, deployment);
    const uids = new Set(old.map((set) => set.metadata.uid));
    const left = api
      .list<StoredObject>(resource.pods, deployment.metadata.namespace)
      .some(
        (pod) => uids.has(controllerOf(pod)?.uid) && (isActive(pod) || pod.metadata.deletionTimestamp !== undefined),
      );
    if (!left) scale(newSet, numberAt(deployment, "spec", "replicas") ?? 1, deployment);
  }

  function scale(set: StoredObject, wanted: number, deployment: StoredObject): void {
    const before = replicas(set);
    const total = numberAt(deployment, "spec", "replicas") ?? 1;
    const { surge } = limits(deployment, total);
    api.update<StoredObject>(resource.replicaSets, set.metadata.name, set.metadata.namespace, (draft) => {
      fieldsAt(draft, "spec")["replicas"] = wanted;
      draft.metadata.annotations = {
        ...draft.metadata.annotations,
        [DESIRED]: String(total),
        [MAX_REPLICAS]: String(total + surge),
      };
    });
    if (before !== wanted) scalingEvent(deployment, set, wanted > before ? "up" : "down", before, wanted);
  }

  function scalingEvent(
    deployment: StoredObject,
    set: StoredObject,
    direction: string,
    from: number,
    to: number,
  ): void {
    const message = `Scaled ${direction} replica set ${set.metadata.name} from ${from} to ${to}`;
    api.event(deployment, "Normal", "ScalingReplicaSet", message, CONTROLLER);
  }

  /** Keeps the newest `revisionHistoryLimit` empty ReplicaSets. */
  function tidy(deployment: StoredObject, old: readonly StoredObject[]): void {
    const keep = numberAt(deployment, "spec", "revisionHistoryLimit") ?? 10;
    const empty = old
      .filter((set) => replicas(set) === 0 && (numberAt(set, "status", "replicas") ?? 0) === 0)
      .toSorted((a, b) => revisionOf(b) - revisionOf(a));
    for (const set of empty.slice(keep)) api.remove(resource.replicaSets, set.metadata.name, set.metadata.namespace);
  }

  function writeStatus(key: string): void {
    const { namespace, name } = parseKey(key);
    const deployment = api.get<StoredObject>(resource.deployments, name, namespace);
    if (deployment === undefined) return;
    const sets = ownSets(deployment);
    const template = fieldsAt(deployment, "spec", "template");
    const newSet = sets.find((set) => same(templateWithoutHash(set), template));
    const { unavailable } = limits(deployment, numberAt(deployment, "spec", "replicas") ?? 1);
    const { status, recheckMs } = deploymentStatus(deployment, newSet, sets, unavailable);
    api.update<StoredObject>(
      resource.deployments,
      name,
      namespace,
      (draft) => {
        draft["status"] = status;
      },
      "status",
    );
    if (recheckMs !== undefined) queue.addAfter(key, recheckMs);
  }

  return {
    stop() {
      for (const stop of stops) stop();
      queue.stop();
    },
  };
}

function newSetOf(deployment: StoredObject, collisions: number): KubeObject {
  const template = copy(fieldsAt(deployment, "spec", "template"));
  const hash = templateHash(template, collisions);
  const metadata = fieldsAt(template, "metadata");
  const labels = { ...fieldsAt(metadata, "labels"), [HASH]: hash } as Record<string, string>;
  const selector = copy(fieldsAt(deployment, "spec", "selector"));
  selector["matchLabels"] = { ...fieldsAt(selector, "matchLabels"), [HASH]: hash };
  const { name, namespace, annotations = {} } = deployment.metadata;
  const inherited = Object.entries(annotations).filter(([key]) => !NOT_COPIED.includes(key));
  const minReady = numberAt(deployment, "spec", "minReadySeconds");
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${name}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels,
      annotations: Object.fromEntries(inherited),
      ownerReferences: [ownerReference(deployment)],
    },
    spec: {
      replicas: 0,
      ...(minReady === undefined ? {} : { minReadySeconds: minReady }),
      selector,
      template: { ...template, metadata: { ...metadata, labels } },
    },
  };
}

const HASH_LETTERS = "bcdfghjklmnpqrstvwxz2456789";

function templateHash(template: Fields, collisions: number): string {
  const digest = createHash("sha256").update(canonical(template)).update(String(collisions)).digest();
  return [...digest.subarray(0, 10)].map((byte) => HASH_LETTERS[byte % HASH_LETTERS.length]).join("");
}

function templateWithoutHash(set: StoredObject): Fields {
  const template = copy(fieldsAt(set, "spec", "template"));
  delete fieldsAt(template, "metadata", "labels")[HASH];
  return template;
}

function replicas(set: StoredObject): number {
  return numberAt(set, "spec", "replicas") ?? 0;
}

function available(set: StoredObject): number {
  return numberAt(set, "status", "availableReplicas") ?? 0;
}

function revisionOf(set: StoredObject): number {
  return Number(set.metadata.annotations?.[REVISION] ?? 0);
}

/** maxSurge rounds up, maxUnavailable down; both 0 makes one unavailable. */
function limits(deployment: StoredObject, wanted: number): { surge: number; unavailable: number } {
  if (stringAt(deployment, "spec", "strategy", "type") === "Recreate") return { surge: 0, unavailable: wanted };
  const rolling = fieldsAt(deployment, "spec", "strategy", "rollingUpdate");
  const surge = share(rolling["maxSurge"], wanted, Math.ceil);
  const unavailable = Math.min(share(rolling["maxUnavailable"], wanted, Math.floor), wanted);
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

function share(value: unknown, of: number, round: (value: number) => number): number {
  if (typeof value === "number") return value;
  return round((Number.parseInt(String(value), 10) / 100) * of);
}
