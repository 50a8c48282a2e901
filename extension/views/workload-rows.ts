/** The Workloads tree: what can be injected, and how far it is. */
import type { Stat, StatSource } from "../../runtime/model/statistics.ts";
import { itemContext } from "../contributions.ts";
import { statTooltip } from "./figures-tooltip.ts";
import type { Row, RowIcon } from "./row.ts";
import { isSystemNamespace } from "./service-rows.ts";

const OPEN_UP_TO = 12;

export interface WorkloadFigures {
  /** Deployments, StatefulSets and DaemonSets. */
  readonly workloads: readonly Stat[];
  readonly window: string;
  readonly source: StatSource;
}

export function workloadRows(figures: WorkloadFigures): Row[] {
  const byNamespace = Map.groupBy(figures.workloads, ({ namespace }) => namespace);
  return [...byNamespace]
    .sort(([a], [b]) => compare(a, b))
    .map(([name, stats]) => namespaceRow(name, stats, figures, byNamespace.size <= OPEN_UP_TO));
}

function namespaceRow(namespace: string, stats: readonly Stat[], figures: WorkloadFigures, few: boolean): Row {
  const meshed = stats.filter((stat) => meshedState(stat) === "meshed").length;
  const description = `${meshed} of ${stats.length} meshed`;
  return {
    id: `workloads/${namespace}`,
    label: namespace,
    description,
    icon: "namespace",
    context: itemContext.namespace,
    accessible: `Namespace ${namespace}, ${description}`,
    subject: { kind: "Namespace", namespace, name: namespace },
    children: stats
      .toSorted((a, b) => compare(a.name, b.name) || compare(a.kind, b.kind))
      .map((stat) => workloadRow(stat, figures)),
    expanded: few && !isSystemNamespace(namespace),
  };
}

function workloadRow(stat: Stat, figures: WorkloadFigures): Row {
  const { kind, namespace, name, meshedPods, totalPods } = stat;
  const state = meshedState(stat);
  const pods = totalPods === 0 ? "no pods" : `${meshedPods}/${totalPods} pods meshed`;
  const icons: Readonly<Record<typeof state, RowIcon>> = {
    meshed: "workload-meshed",
    partial: "workload-partial",
    unmeshed: "workload-unmeshed",
  };
  return {
    id: `workload/${kind}/${namespace}/${name}`,
    label: name,
    description: `${kind} · ${pods}`,
    icon: icons[state],
    context: `${itemContext.workload};${state}`,
    accessible: `${kind} ${name}, ${pods}`,
    tooltip: () => statTooltip(`${kind} ${name}`, stat, figures.window, figures.source),
    ...(kind === "Deployment" || kind === "StatefulSet" || kind === "DaemonSet"
      ? { subject: { kind, namespace, name } }
      : {}),
  };
}

function meshedState({ meshedPods, totalPods }: Stat): "meshed" | "partial" | "unmeshed" {
  if (meshedPods === 0) return "unmeshed";
  return meshedPods < totalPods ? "partial" : "meshed";
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
