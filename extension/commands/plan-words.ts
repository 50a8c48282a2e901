/** A plan in a sentence or two, for the question before it is applied. Knows no `vscode`. */
import type { Plan, PlannedObject, WorkloadRef } from "../../runtime/mesh/types.ts";

const WORDS: readonly (readonly [PlannedObject["action"], string])[] = [
  ["create", "created"],
  ["update", "changed"],
  ["delete", "deleted"],
  ["in-cluster", "made by the controller in the cluster"],
  ["unchanged", "left as they are"],
];

/** `31 objects are created, 7 made by the controller in the cluster.` */
export function planWords(plan: Plan): string {
  const parts = WORDS.flatMap(([action, word]) => {
    const count = plan.objects.filter((object) => object.action === action).length;
    return count === 0 ? [] : [`${count} ${word}`];
  });
  if (parts.length === 0) return "Nothing is to be done.";
  const [first = "", ...rest] = parts;
  const subject = first.startsWith("1 ") ? "object is" : "objects are";
  return `${[first.replace(" ", ` ${subject} `), ...rest].join(", ")}.`;
}

/** Whether applying it changes anything. */
export function changesAnything(plan: Plan): boolean {
  return plan.objects.some(({ action }) => action !== "unchanged" && action !== "in-cluster");
}

/** At most `limit` names, one a line, and how many more. */
export function workloadLines(workloads: readonly WorkloadRef[], limit = 12): string {
  const lines = workloads.slice(0, limit).map(({ kind, namespace, name }) => `• ${kind} ${namespace}/${name}`);
  const more = workloads.length - lines.length;
  return [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}
