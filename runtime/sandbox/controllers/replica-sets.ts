/** ReplicaSets: as many pods as they ask for, the least useful ones going first. */

import { resource } from "../../kube/resources.ts";
import type { KubeObject, OwnerReference } from "../../kube/types.ts";
import { copy, fieldsAt, keyOf, listAt, numberAt, type StoredObject, stringAt, timestamp } from "../api/object.ts";
import { selectorMatches } from "../api/selectors.ts";
import { StatusError } from "../api/status.ts";
import { type Controller, type ControllerContext, parseKey, WorkQueue } from "./queue.ts";

const CONTROLLER = "replicaset-controller";
/** Pods made at once; a refused one stops the batch. */
const BATCH = 20;

export function startReplicaSets({ api, report }: ControllerContext): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const stops = [
    api.watch(resource.replicaSets, ({ object }) => queue.add(keyOf(object.metadata.namespace, object.metadata.name))),
    api.watch(resource.pods, ({ object, previous }) => {
      for (const pod of [object, previous]) {
        const owner = pod === undefined ? undefined : controllerOf(pod);
        if (owner?.kind === "ReplicaSet") queue.add(keyOf(pod?.metadata.namespace, owner.name));
      }
    }),
  ];

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = parseKey(key);
    const set = api.get<StoredObject>(resource.replicaSets, name, namespace);
    if (set === undefined) return;
    const pods = adopted(set);
    const active = pods.filter(isActive);
    let failure: string | undefined;
    if (set.metadata.deletionTimestamp === undefined) {
      const wanted = numberAt(set, "spec", "replicas") ?? 0;
      if (active.length < wanted) failure = await grow(set, wanted - active.length);
      else if (active.length > wanted) shrink(set, active, active.length - wanted);
    }
    writeStatus(set, failure);
    if (failure !== undefined) throw new StatusError(500, "InternalError", failure);
  }

  /** Its own pods, and orphans its selector matches. */
  function adopted(set: StoredObject): StoredObject[] {
    const { namespace, uid } = set.metadata;
    const selector = fieldsAt(set, "spec")["selector"];
    return api.list<StoredObject>(resource.pods, namespace).filter((pod) => {
      const owner = controllerOf(pod);
      if (owner !== undefined) return owner.uid === uid;
      if (
        !isActive(pod) ||
        !selectorMatches(selector, pod.metadata.labels) ||
        set.metadata.deletionTimestamp !== undefined
      )
        return false;
      api.update<StoredObject>(resource.pods, pod.metadata.name, namespace, (draft) => {
        draft.metadata.ownerReferences = [...(draft.metadata.ownerReferences ?? []), ownerReference(set)];
      });
      return true;
    });
  }

  /** @returns why the last one could not be made */
  async function grow(set: StoredObject, count: number): Promise<string | undefined> {
    for (let made = 0; made < Math.min(count, BATCH); made++) {
      try {
        const pod = await api.admitted(resource.pods, podOf(set), CONTROLLER);
        api.event(set, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`, CONTROLLER);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        api.event(set, "Warning", "FailedCreate", `Error creating: ${error.message}`, CONTROLLER);
        return error.message;
      }
    }
    return undefined;
  }

  function shrink(set: StoredObject, active: StoredObject[], count: number): void {
    for (const pod of active.toSorted(byUsefulness).slice(0, count)) {
      if (
        !api.remove(
          resource.pods,
          pod.metadata.name,
          pod.metadata.namespace,
          pod.metadata.uid === undefined ? {} : { uid: pod.metadata.uid },
        )
      )
        continue;
      api.event(set, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`, CONTROLLER);
    }
  }

  function writeStatus(set: StoredObject, failure: string | undefined): void {
    const { name, namespace, uid, generation } = set.metadata;
    const labels = fieldsAt(set, "spec", "template", "metadata", "labels");
    const pods = api
      .list<StoredObject>(resource.pods, namespace)
      .filter((pod) => controllerOf(pod)?.uid === uid && isActive(pod));
    const ready = pods.filter(isReady);
    const minReadyMs = (numberAt(set, "spec", "minReadySeconds") ?? 0) * 1000;
    const available = ready.filter((pod) => readySince(pod) + minReadyMs <= Date.now());
    if (available.length < ready.length) queue.addAfter(keyOf(namespace, name), Math.max(minReadyMs / 4, 250));
    if (api.get(resource.replicaSets, name, namespace) === undefined) return;
    const conditions = listAt(set, "status", "conditions").filter((entry) => entry["type"] !== "ReplicaFailure");
    if (failure !== undefined) {
      conditions.push({
        type: "ReplicaFailure",
        status: "True",
        reason: "FailedCreate",
        message: failure,
        lastTransitionTime: timestamp(),
      });
    }
    const before = listAt(set, "status", "conditions").find((entry) => entry["type"] === "ReplicaFailure");
    if (before !== undefined && failure !== undefined && before["message"] === failure)
      conditions[conditions.length - 1] = before;
    const count = (field: string, value: number): Record<string, number> => (value === 0 ? {} : { [field]: value });
    api.update<StoredObject>(
      resource.replicaSets,
      name,
      namespace,
      (draft) => {
        draft["status"] = {
          replicas: pods.length,
          ...count(
            "fullyLabeledReplicas",
            pods.filter((pod) => Object.entries(labels).every(([key, value]) => pod.metadata.labels?.[key] === value))
              .length,
          ),
          ...count("readyReplicas", ready.length),
          ...count("availableReplicas", available.length),
          observedGeneration: generation ?? 1,
          ...(conditions.length === 0 ? {} : { conditions }),
        };
      },
      "status",
    );
  }

  return {
    stop() {
      for (const stop of stops) stop();
      queue.stop();
    },
  };
}

function podOf(set: StoredObject): KubeObject {
  const template = copy(fieldsAt(set, "spec", "template"));
  const metadata = fieldsAt(template, "metadata");
  const { name, namespace } = set.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      name: "",
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      ownerReferences: [ownerReference(set)],
    },
    spec: template["spec"],
  };
}

export function ownerReference(owner: StoredObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

/** Counts towards replicas: neither finished nor going. */
export function isActive(pod: KubeObject): boolean {
  const phase = stringAt(pod, "status", "phase");
  return phase !== "Succeeded" && phase !== "Failed" && pod.metadata.deletionTimestamp === undefined;
}

function readyCondition(pod: KubeObject): Record<string, unknown> | undefined {
  return listAt(pod, "status", "conditions").find((condition) => condition["type"] === "Ready");
}

export function isReady(pod: KubeObject): boolean {
  return readyCondition(pod)?.["status"] === "True";
}

function readySince(pod: KubeObject): number {
  const condition = readyCondition(pod);
  return condition?.["status"] === "True"
    ? Date.parse(String(condition["lastTransitionTime"]))
    : Number.POSITIVE_INFINITY;
}

/** Unscheduled before pending before running, not ready before ready, young before old. */
function byUsefulness(a: StoredObject, b: StoredObject): number {
  const rank = (pod: StoredObject): number => {
    if ((stringAt(pod, "spec", "nodeName") ?? "") === "") return 0;
    if (stringAt(pod, "status", "phase") !== "Running") return 1;
    return isReady(pod) ? 3 : 2;
  };
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return Date.parse(b.metadata.creationTimestamp ?? "") - Date.parse(a.metadata.creationTimestamp ?? "");
}
