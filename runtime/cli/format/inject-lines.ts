/** A plan to inject or uninject as a person reads it before agreeing. */
import type { InjectPlan, WorkloadRef } from "../../mesh/types.ts";

export function formatInjectPlan(plan: InjectPlan): string {
  const restarts = plan.restarts.map((ref) => `~ ${nameOf(ref)}: restarts`);
  const skipped = plan.skipped.map(({ workload, reason }) => `  ${nameOf(workload)}: ${reason}`);
  const nothing = restarts.length === 0 ? ["Nothing restarts."] : [];
  return [...restarts, ...nothing, ...skipped].join("\n");
}

export function nameOf({ kind, namespace, name }: WorkloadRef): string {
  return kind === "Namespace" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
