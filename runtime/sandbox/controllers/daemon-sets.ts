/** DaemonSets: one pod on every node their selector allows. */
import { createHash } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import { copy, fieldsAt, keyOf, numberAt, type StoredObject, stringAt } from "../api/object.ts";
import { labelsMatch } from "../api/selectors.ts";
import { StatusError } from "../api/status.ts";
import { canonical } from "./canonical.ts";
import { type Controller, type ControllerContext, parseKey, WorkQueue } from "./queue.ts";
import { controllerOf, isActive, isReady, ownerReference } from "./replica-sets.ts";

const CONTROLLER = "daemonset-controller";
const REVISION = "controller-revision-hash";

export function startDaemonSets({ api, report }: ControllerContext): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const stops = [
    api.watch(resource.daemonSets, ({ object }) => queue.add(keyOf(object.metadata.namespace, object.metadata.name))),
    api.watch(resource.pods, ({ object }) => {
      const owner = controllerOf(object);
      if (owner?.kind === "DaemonSet") queue.add(keyOf(object.metadata.namespace, owner.name));
    }),
  ];

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = parseKey(key);
    const set = api.get<StoredObject>(resource.daemonSets, name, namespace);
    if (set === undefined || set.metadata.deletionTimestamp !== undefined) return;
    try {
      await step(set);
    } finally {
      writeStatus(set);
    }
  }

  async function step(set: StoredObject): Promise<void> {
    const pods = podsOf(set).filter((pod) => pod.metadata.deletionTimestamp === undefined);
    const nodes = nodesOf(set);
    for (const pod of pods) {
      if (!isActive(pod) || !nodes.includes(stringAt(pod, "spec", "nodeName") ?? "")) remove(pod);
    }
    const active = pods.filter(isActive);
    for (const node of nodes) {
      // One on its way out still holds its place.
      if (podsOf(set).some((pod) => stringAt(pod, "spec", "nodeName") === node)) continue;
      await make(set, node);
    }
    const outdated = active.filter((pod) => pod.metadata.labels?.[REVISION] !== revisionOf(set));
    const allReady = podsOf(set).length === nodes.length && podsOf(set).every((pod) => isReady(pod));
    const [first] = outdated.toSorted((a, b) => Number(isReady(a)) - Number(isReady(b)));
    const onDelete = stringAt(set, "spec", "updateStrategy", "type") === "OnDelete";
    if (first !== undefined && !onDelete && (allReady || !isReady(first))) remove(first);
  }

  async function make(set: StoredObject, node: string): Promise<void> {
    try {
      const pod = await api.admitted(resource.pods, podOf(set, node), CONTROLLER);
      api.event(set, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`, CONTROLLER);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      api.event(set, "Warning", "FailedCreate", `Error creating: ${error.message}`, CONTROLLER);
      throw error;
    }
  }

  function remove(pod: StoredObject): void {
    api.remove(resource.pods, pod.metadata.name, pod.metadata.namespace);
  }

  function podsOf(set: StoredObject): StoredObject[] {
    return api
      .list<StoredObject>(resource.pods, set.metadata.namespace)
      .filter((pod) => controllerOf(pod)?.uid === set.metadata.uid);
  }

  function nodesOf(set: StoredObject): string[] {
    const selector = fieldsAt(set, "spec", "template", "spec")["nodeSelector"];
    return api
      .list<StoredObject>(resource.nodes)
      .filter((node) => selector === undefined || labelsMatch(selector, node.metadata.labels))
      .map((node) => node.metadata.name);
  }

  function writeStatus(set: StoredObject): void {
    const { name, namespace, generation } = set.metadata;
    if (api.get(resource.daemonSets, name, namespace) === undefined) return;
    const pods = podsOf(set).filter(isActive);
    const ready = pods.filter((pod) => isReady(pod)).length;
    const wanted = nodesOf(set).length;
    const updated = pods.filter((pod) => pod.metadata.labels?.[REVISION] === revisionOf(set)).length;
    const status = {
      currentNumberScheduled: pods.length,
      desiredNumberScheduled: wanted,
      numberAvailable: ready,
      numberMisscheduled: 0,
      numberReady: ready,
      numberUnavailable: wanted - ready,
      observedGeneration: generation ?? 1,
      updatedNumberScheduled: updated,
    };
    const shown = Object.fromEntries(
      Object.entries(status).filter(([field, value]) => value !== 0 || ALWAYS.includes(field)),
    );
    api.update<StoredObject>(
      resource.daemonSets,
      name,
      namespace,
      (draft) => {
        draft["status"] = shown;
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

const ALWAYS = ["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"];

function revisionOf(set: StoredObject): string {
  return createHash("sha256")
    .update(canonical(fieldsAt(set, "spec", "template")))
    .digest("hex")
    .slice(0, 10);
}

function podOf(set: StoredObject, node: string): KubeObject {
  const template = copy(fieldsAt(set, "spec", "template"));
  const metadata = fieldsAt(template, "metadata");
  const { name, namespace } = set.metadata;
  const labels = {
    ...fieldsAt(metadata, "labels"),
    [REVISION]: revisionOf(set),
    "pod-template-generation": String(numberAt(set, "metadata", "generation") ?? 1),
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      name: "",
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: labels as Record<string, string>,
      ownerReferences: [ownerReference(set)],
    },
    spec: { ...fieldsAt(template, "spec"), nodeName: node },
  };
}
