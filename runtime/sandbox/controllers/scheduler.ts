/** Gives every pod a node: the one with the fewest pods among those its selector allows. */
import { resource } from "../../kube/resources.ts";
import {
  ensureFields,
  type Fields,
  fieldsAt,
  keyOf,
  listAt,
  type StoredObject,
  stringAt,
  timestamp,
} from "../api/object.ts";
import { labelsMatch } from "../api/selectors.ts";
import { type Controller, type ControllerContext, parseKey, WorkQueue } from "./queue.ts";

/** Pods that name another scheduler are left to it. */
const NAME = "default-scheduler";

export function startScheduler({ api, report }: ControllerContext): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const unscheduled = (pod: StoredObject): boolean =>
    (stringAt(pod, "spec", "nodeName") ?? "") === "" &&
    (stringAt(pod, "spec", "schedulerName") ?? NAME) === NAME &&
    pod.metadata.deletionTimestamp === undefined;
  const stops = [
    api.watch<StoredObject>(resource.pods, ({ object, type }) => {
      if (type !== "deleted" && unscheduled(object)) queue.add(keyOf(object.metadata.namespace, object.metadata.name));
    }),
    api.watch(resource.nodes, () => {
      for (const pod of api.list<StoredObject>(resource.pods)) {
        if (unscheduled(pod)) queue.add(keyOf(pod.metadata.namespace, pod.metadata.name));
      }
    }),
  ];

  function reconcile(key: string): void {
    const { namespace, name } = parseKey(key);
    const pod = api.get<StoredObject>(resource.pods, name, namespace);
    if (pod === undefined || !unscheduled(pod)) return;
    const selector = fieldsAt(pod, "spec")["nodeSelector"];
    const nodes = api.list<StoredObject>(resource.nodes).filter((node) => isUsable(node));
    const fitting = nodes.filter((node) => selector === undefined || labelsMatch(selector, node.metadata.labels));
    const load = (node: StoredObject): number =>
      api
        .list<StoredObject>(resource.pods)
        .filter((other) => stringAt(other, "spec", "nodeName") === node.metadata.name).length;
    const chosen = fitting.toSorted((a, b) => load(a) - load(b))[0];
    if (chosen === undefined) {
      const message = `0/${nodes.length} nodes are available: ${nodes.length} node(s) didn't match Pod's node affinity/selector.`;
      condition(pod, { status: "False", reason: "Unschedulable", message });
      api.event(pod, "Warning", "FailedScheduling", message, NAME);
      return;
    }
    api.update<StoredObject>(resource.pods, name, namespace, (draft) => {
      ensureFields(draft, "spec")["nodeName"] = chosen.metadata.name;
    });
    condition(pod, { status: "True" });
    const message = `Successfully assigned ${key} to ${chosen.metadata.name}`;
    api.event(pod, "Normal", "Scheduled", message, NAME);
  }

  function condition(pod: StoredObject, fields: Fields): void {
    api.update<StoredObject>(
      resource.pods,
      pod.metadata.name,
      pod.metadata.namespace,
      (draft) => {
        const status = ensureFields(draft, "status");
        const before = listAt(draft, "status", "conditions");
        const last = before.find((entry) => entry["type"] === "PodScheduled");
        if (last !== undefined && last["status"] === fields["status"]) return;
        const others = before.filter((entry) => entry !== last);
        status["conditions"] = [...others, { type: "PodScheduled", lastTransitionTime: timestamp(), ...fields }];
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

function isUsable(node: StoredObject): boolean {
  const ready = listAt(node, "status", "conditions").find((entry) => entry["type"] === "Ready");
  return fieldsAt(node, "spec")["unschedulable"] !== true && ready?.["status"] === "True";
}
