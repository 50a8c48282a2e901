import { resource } from "../../../kube/resources.ts";
import { forbiddenField } from "../field-errors.ts";
import { defineKind, type Kind } from "../kind.ts";
import {
  copy,
  ensureFields,
  type Fields,
  fieldsAt,
  listAt,
  numberAt,
  type StoredObject,
  same,
  stringAt,
} from "../object.ts";
import { modelSchema } from "../schema.ts";
import { age, column } from "./columns.ts";
import { defaultPodSpec, defaultRequests, setDefault } from "./pod-template.ts";
import { validatePodSpec } from "./pod-validation.ts";

export const pods: Kind = defineKind(resource.pods, modelSchema("V1Pod"), {
  shortNames: ["po"],
  categories: ["all"],
  status: true,
  generation: true,
  subresources: [
    { name: "log", kind: "Pod", verbs: ["get"] },
    { name: "proxy", kind: "PodProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] },
    { name: "portforward", kind: "PodPortForwardOptions", verbs: ["create", "get"] },
    { name: "eviction", kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] },
    ...["attach", "binding", "ephemeralcontainers", "exec", "resize"].map((name) => ({ name, kind: "Pod", verbs: [] })),
  ],
  fieldSelectors: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
  ],
  defaults(pod) {
    const spec = fieldsAt(pod, "spec");
    defaultPodSpec(spec);
    defaultRequests(spec);
    setDefault(spec, "enableServiceLinks", true);
    const status = ensureFields(pod, "status");
    setDefault(status, "phase", "Pending");
    setDefault(status, "qosClass", qosClass(spec));
  },
  validate: (pod) => validatePodSpec(fieldsAt(pod, "spec"), "spec"),
  validateUpdate(pod, old) {
    return same(mutableAway(pod), mutableAway(old))
      ? []
      : [
          forbiddenField(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
          ),
        ];
  },
  columns: [
    column("Ready", (pod) => {
      const counted = countedStatuses(pod);
      return `${counted.filter((status) => status["ready"] === true).length}/${countedContainers(pod).length}`;
    }),
    column("Status", statusText),
    column("Restarts", restartsText),
    column("Age", (pod) => age(pod.metadata.creationTimestamp)),
    column("IP", (pod) => stringAt(pod, "status", "podIP") ?? "<none>", { priority: 1 }),
    column("Node", (pod) => stringAt(pod, "spec", "nodeName") ?? "<none>", { priority: 1 }),
    column("Nominated Node", () => "<none>", { priority: 1 }),
    column("Readiness Gates", () => "<none>", { priority: 1 }),
  ],
});

function mutableAway(pod: StoredObject): Fields {
  const spec = copy(fieldsAt(pod, "spec"));
  for (const container of [...listAt(spec, "containers"), ...listAt(spec, "initContainers")]) delete container["image"];
  delete spec["activeDeadlineSeconds"];
  delete spec["tolerations"];
  delete spec["schedulingGates"];
  return spec;
}

/** Guaranteed, Burstable or BestEffort, by the containers' requests and limits. */
function qosClass(spec: Fields): string {
  const all = [...listAt(spec, "containers"), ...listAt(spec, "initContainers")].map((container) =>
    fieldsAt(container, "resources"),
  );
  const named = (resources: Fields, field: string): Fields => fieldsAt(resources, field);
  const empty = all.every(
    (resources) =>
      Object.keys(named(resources, "limits")).length === 0 && Object.keys(named(resources, "requests")).length === 0,
  );
  if (empty) return "BestEffort";
  const guaranteed = all.every((resources) =>
    ["cpu", "memory"].every((name) => {
      const limit = named(resources, "limits")[name];
      return limit !== undefined && named(resources, "requests")[name] === limit;
    }),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}

/** Native sidecars count as containers do. */
function sidecarNames(pod: StoredObject): Set<unknown> {
  const sidecars = listAt(pod, "spec", "initContainers").filter((container) => container["restartPolicy"] === "Always");
  return new Set(sidecars.map((container) => container["name"]));
}

function countedContainers(pod: StoredObject): Fields[] {
  const sidecars = sidecarNames(pod);
  return [
    ...listAt(pod, "spec", "initContainers").filter((container) => sidecars.has(container["name"])),
    ...listAt(pod, "spec", "containers"),
  ];
}

function countedStatuses(pod: StoredObject): Fields[] {
  const sidecars = sidecarNames(pod);
  return [
    ...listAt(pod, "status", "initContainerStatuses").filter((status) => sidecars.has(status["name"])),
    ...listAt(pod, "status", "containerStatuses"),
  ];
}

/** The STATUS column of `kubectl get pods` (printers' printPod). */
function statusText(pod: StoredObject): string {
  let reason = stringAt(pod, "status", "reason") ?? stringAt(pod, "status", "phase") ?? "Unknown";
  const inits = listAt(pod, "status", "initContainerStatuses");
  const sidecars = sidecarNames(pod);
  let initializing = false;
  for (const [index, status] of inits.entries()) {
    const terminated = fieldsAt(status, "state", "terminated");
    if (terminated["exitCode"] === 0) continue;
    if (sidecars.has(status["name"]) && status["started"] === true) continue;
    const waiting = stringAt(status, "state", "waiting", "reason");
    if (Object.keys(terminated).length > 0) {
      reason = `Init:${stringAt(terminated, "reason") ?? `ExitCode:${String(terminated["exitCode"])}`}`;
    } else if (waiting !== undefined && waiting !== "PodInitializing") reason = `Init:${waiting}`;
    else reason = `Init:${index}/${listAt(pod, "spec", "initContainers").length}`;
    initializing = true;
    break;
  }
  if (!initializing) {
    let running = false;
    for (const status of listAt(pod, "status", "containerStatuses").toReversed()) {
      const waiting = stringAt(status, "state", "waiting", "reason");
      const terminated = fieldsAt(status, "state", "terminated");
      if (waiting !== undefined) reason = waiting;
      else if (Object.keys(terminated).length > 0) {
        reason = stringAt(terminated, "reason") ?? `ExitCode:${String(terminated["exitCode"])}`;
      } else if (status["ready"] === true) running = true;
    }
    if (reason === "Completed" && running) reason = "Running";
  }
  if (pod.metadata.deletionTimestamp !== undefined) return "Terminating";
  return reason;
}

function restartsText(pod: StoredObject): string {
  const statuses = countedStatuses(pod);
  const restarts = statuses.reduce((sum, status) => sum + (numberAt(status, "restartCount") ?? 0), 0);
  const last = statuses
    .map((status) => stringAt(status, "lastState", "terminated", "finishedAt"))
    .filter((time) => time !== undefined)
    .sort()
    .at(-1);
  return restarts > 0 && last !== undefined ? `${restarts} (${age(last)} ago)` : String(restarts);
}
