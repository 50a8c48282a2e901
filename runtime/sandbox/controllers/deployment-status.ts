/** The status of a Deployment, and the conditions that `kubectl rollout status` reads. */
import { type Fields, listAt, numberAt, type StoredObject, timestamp } from "../api/object.ts";

export interface DeploymentStatus {
  readonly status: Fields;
  /** When to look again although nothing happened: progress has a deadline. */
  readonly recheckMs: number | undefined;
}

/** @param unavailable how many may be unavailable during a rollout */
export function deploymentStatus(
  deployment: StoredObject,
  newSet: StoredObject | undefined,
  sets: readonly StoredObject[],
  unavailable: number,
): DeploymentStatus {
  const wanted = numberAt(deployment, "spec", "replicas") ?? 1;
  const sum = (field: string): number => sets.reduce((total, set) => total + (numberAt(set, "status", field) ?? 0), 0);
  const total = sum("replicas");
  const available = sum("availableReplicas");
  const updated = newSet === undefined ? 0 : (numberAt(newSet, "status", "replicas") ?? 0);
  const counts: Fields = {};
  const count = (field: string, value: number): void => {
    if (value > 0) counts[field] = value;
  };
  count("replicas", total);
  count("updatedReplicas", updated);
  count("readyReplicas", sum("readyReplicas"));
  count("availableReplicas", available);
  count("unavailableReplicas", Math.max(0, Math.max(wanted, total) - available));

  const before = listAt(deployment, "status", "conditions");
  const enough = available >= wanted - unavailable;
  const availableCondition = condition(before, {
    type: "Available",
    status: enough ? "True" : "False",
    reason: enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
    message: enough ? "Deployment has minimum availability." : "Deployment does not have minimum availability.",
  });
  const complete = newSet !== undefined && updated === wanted && total === wanted && available === wanted;
  const { progress, recheckMs } = progressing(deployment, newSet, before, counts, complete);
  const failure = sets
    .flatMap((set) => listAt(set, "status", "conditions"))
    .find((entry) => entry["type"] === "ReplicaFailure");
  const conditions = [availableCondition, progress, ...(failure === undefined ? [] : [condition(before, failure)])];
  return {
    status: { ...counts, observedGeneration: deployment.metadata.generation ?? 1, conditions },
    recheckMs,
  };
}

function progressing(
  deployment: StoredObject,
  newSet: StoredObject | undefined,
  before: readonly Fields[],
  counts: Fields,
  complete: boolean,
): { progress: Fields; recheckMs: number | undefined } {
  const name = newSet?.metadata.name ?? "";
  const last = before.find((entry) => entry["type"] === "Progressing");
  if (complete) {
    const message = `ReplicaSet "${name}" has successfully progressed.`;
    const done = { type: "Progressing", status: "True", reason: "NewReplicaSetAvailable", message };
    return { progress: condition(before, done), recheckMs: undefined };
  }
  const deadlineMs = (numberAt(deployment, "spec", "progressDeadlineSeconds") ?? 600) * 1000;
  const status = deployment["status"] as Fields | undefined;
  const moved = ["updatedReplicas", "readyReplicas", "availableReplicas"].some(
    (field) => (numberAt(counts, field) ?? 0) > (numberAt(status, field) ?? 0),
  );
  const sameSet = typeof last?.["message"] === "string" && last["message"].includes(`"${name}"`);
  const sinceMs = last === undefined ? 0 : Date.now() - Date.parse(String(last["lastUpdateTime"]));
  if (last !== undefined && sameSet && !moved && last["reason"] !== "NewReplicaSetAvailable") {
    if (last["reason"] === "ProgressDeadlineExceeded") return { progress: last, recheckMs: undefined };
    if (sinceMs < deadlineMs) return { progress: last, recheckMs: deadlineMs - sinceMs + 100 };
    const message = `ReplicaSet "${name}" has timed out progressing.`;
    const late = { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded", message };
    return { progress: condition(before, late), recheckMs: undefined };
  }
  const isNew = last === undefined || !sameSet;
  const news = {
    type: "Progressing",
    status: "True",
    reason: isNew ? "NewReplicaSetCreated" : "ReplicaSetUpdated",
    message: isNew ? `Created new replica set "${name}"` : `ReplicaSet "${name}" is progressing.`,
  };
  return { progress: { ...condition(before, news), lastUpdateTime: timestamp() }, recheckMs: deadlineMs };
}

/** Keeps the times of a condition that says what it said before. */
function condition(before: readonly Fields[], now: Fields): Fields {
  const last = before.find((entry) => entry["type"] === now["type"]);
  const time = timestamp();
  if (last === undefined) return { ...now, lastTransitionTime: time, lastUpdateTime: time };
  if (last["status"] !== now["status"]) return { ...now, lastTransitionTime: time, lastUpdateTime: time };
  const unchanged = last["reason"] === now["reason"] && last["message"] === now["message"];
  return {
    ...now,
    lastTransitionTime: last["lastTransitionTime"],
    lastUpdateTime: unchanged ? last["lastUpdateTime"] : time,
  };
}
