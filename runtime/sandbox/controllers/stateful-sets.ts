/** StatefulSets: pods of fixed names, made and replaced one after the other. No volume claims: there are no volumes. */
import { createHash } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import { copy, type Fields, fieldsAt, keyOf, numberAt, type StoredObject, stringAt } from "../api/object.ts";
import { StatusError } from "../api/status.ts";
import { canonical } from "./canonical.ts";
import { type Controller, type ControllerContext, parseKey, WorkQueue } from "./queue.ts";
import { controllerOf, isReady, ownerReference } from "./replica-sets.ts";

const CONTROLLER = "statefulset-controller";
const REVISION = "controller-revision-hash";
const POD_NAME = "statefulset.kubernetes.io/pod-name";
const POD_INDEX = "apps.kubernetes.io/pod-index";

export function startStatefulSets({ api, report }: ControllerContext): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const stops = [
    api.watch(resource.statefulSets, ({ object }) => queue.add(keyOf(object.metadata.namespace, object.metadata.name))),
    api.watch(resource.pods, ({ object }) => {
      const owner = controllerOf(object);
      if (owner?.kind === "StatefulSet") queue.add(keyOf(object.metadata.namespace, owner.name));
    }),
  ];

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = parseKey(key);
    const set = api.get<StoredObject>(resource.statefulSets, name, namespace);
    if (set === undefined || set.metadata.deletionTimestamp !== undefined) return;
    const revision = revisionOf(set);
    try {
      await step(set, revision);
    } finally {
      writeStatus(set, revision);
    }
  }

  /** The next thing to do; the pod it makes or removes brings the one after it. */
  async function step(set: StoredObject, revision: string): Promise<void> {
    const wanted = numberAt(set, "spec", "replicas") ?? 1;
    const parallel = stringAt(set, "spec", "podManagementPolicy") === "Parallel";
    const pods = new Map(podsOf(set).map((pod) => [ordinalOf(pod), pod]));
    for (let ordinal = 0; ordinal < wanted; ordinal++) {
      const pod = pods.get(ordinal);
      if (pod === undefined) {
        await make(set, ordinal, revision);
        if (!parallel) return;
      } else if (isFinished(pod)) {
        remove(pod);
        if (!parallel) return;
      } else if (!parallel && !isSettled(pod)) return;
    }
    const surplus = [...pods.keys()].filter((ordinal) => ordinal >= wanted).sort((a, b) => b - a);
    for (const ordinal of surplus) {
      const pod = pods.get(ordinal);
      if (pod !== undefined) remove(pod);
      if (!parallel) return;
    }
    replaceOutdated(set, revision, wanted, pods);
  }

  /** The highest outdated pod goes, once all are well. */
  function replaceOutdated(
    set: StoredObject,
    revision: string,
    wanted: number,
    pods: ReadonlyMap<number, StoredObject>,
  ): void {
    const strategy = fieldsAt(set, "spec", "updateStrategy");
    if (strategy["type"] === "OnDelete") return;
    const partition = numberAt(strategy, "rollingUpdate", "partition") ?? 0;
    for (let ordinal = wanted - 1; ordinal >= partition; ordinal--) {
      const pod = pods.get(ordinal);
      if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
      if (pod.metadata.labels?.[REVISION] !== revision) {
        remove(pod);
        return;
      }
      if (!isSettled(pod)) return;
    }
  }

  async function make(set: StoredObject, ordinal: number, revision: string): Promise<void> {
    const pod = podOf(set, ordinal, revision);
    try {
      await api.admitted(resource.pods, pod, CONTROLLER);
      const message = `create Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name} successful`;
      api.event(set, "Normal", "SuccessfulCreate", message, CONTROLLER);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      if (error.reason === "AlreadyExists") return;
      const message = `create Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name} failed error: ${error.message}`;
      api.event(set, "Warning", "FailedCreate", message, CONTROLLER);
      throw error;
    }
  }

  function remove(pod: StoredObject): void {
    if (pod.metadata.deletionTimestamp !== undefined) return;
    api.remove(resource.pods, pod.metadata.name, pod.metadata.namespace);
  }

  function podsOf(set: StoredObject): StoredObject[] {
    return api
      .list<StoredObject>(resource.pods, set.metadata.namespace)
      .filter((pod) => controllerOf(pod)?.uid === set.metadata.uid);
  }

  function writeStatus(set: StoredObject, revision: string): void {
    const { name, namespace, generation } = set.metadata;
    if (api.get(resource.statefulSets, name, namespace) === undefined) return;
    const pods = podsOf(set).filter((pod) => !isFinished(pod));
    const ready = pods.filter((pod) => isReady(pod)).length;
    const updated = pods.filter((pod) => pod.metadata.labels?.[REVISION] === revision);
    api.update<StoredObject>(
      resource.statefulSets,
      name,
      namespace,
      (draft) => {
        const before = fieldsAt(draft, "status");
        const full = `${name}-${revision.slice(name.length + 1)}`;
        const complete = updated.length === pods.length;
        draft["status"] = {
          observedGeneration: generation ?? 1,
          replicas: pods.length,
          ...(ready === 0 ? {} : { readyReplicas: ready }),
          availableReplicas: ready,
          ...(updated.length === 0 ? {} : { updatedReplicas: updated.length }),
          currentReplicas: complete ? updated.length : pods.length - updated.length,
          currentRevision: complete ? full : (before["currentRevision"] ?? full),
          updateRevision: full,
          collisionCount: 0,
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

/** `<name>-<hash of the template>`, as the label of its pods. */
function revisionOf(set: StoredObject): string {
  const digest = createHash("sha256")
    .update(canonical(fieldsAt(set, "spec", "template")))
    .digest("hex");
  return `${set.metadata.name}-${digest.slice(0, 10)}`;
}

function ordinalOf(pod: KubeObject): number {
  return Number(pod.metadata.name.slice(pod.metadata.name.lastIndexOf("-") + 1));
}

function isFinished(pod: StoredObject): boolean {
  const phase = stringAt(pod, "status", "phase");
  return phase === "Succeeded" || phase === "Failed";
}

function isSettled(pod: StoredObject): boolean {
  return isReady(pod) && pod.metadata.deletionTimestamp === undefined;
}

function podOf(set: StoredObject, ordinal: number, revision: string): KubeObject {
  const template = copy(fieldsAt(set, "spec", "template"));
  const metadata = fieldsAt(template, "metadata");
  const name = `${set.metadata.name}-${ordinal}`;
  const labels = {
    ...fieldsAt(metadata, "labels"),
    [REVISION]: revision,
    [POD_NAME]: name,
    [POD_INDEX]: String(ordinal),
  };
  const { namespace } = set.metadata;
  const spec: Fields = { ...fieldsAt(template, "spec"), hostname: name };
  const service = stringAt(set, "spec", "serviceName");
  if (service !== undefined && service !== "") spec["subdomain"] = service;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: labels as Record<string, string>,
      ownerReferences: [ownerReference(set)],
    },
    spec,
  };
}
