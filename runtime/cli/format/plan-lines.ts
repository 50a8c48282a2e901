/** A plan as a person reads it before agreeing. */
import type { Plan, PlannedObject } from "../../mesh/types.ts";
import { formatTable } from "./table.ts";

const SIGNS: Readonly<Record<PlannedObject["action"], string>> = {
  create: "+",
  update: "~",
  delete: "-",
  "in-cluster": "*",
  unchanged: " ",
};

/** Every object that changes, one a line; those that stay as they are by number. */
export function formatPlan(plan: Plan): string {
  const changing = plan.objects.filter(({ action }) => action !== "unchanged");
  const unchanged = plan.objects.length - changing.length;
  const rows = changing.map(({ action, kind, namespace, name, detail }) => [
    SIGNS[action],
    kind,
    namespace === undefined ? name : `${namespace}/${name}`,
    action === "in-cluster" ? `made in the cluster: ${detail ?? ""}` : (detail ?? ""),
  ]);
  const table = formatTable([{ title: "" }, { title: "KIND" }, { title: "NAME" }, { title: "" }], rows);
  return [
    ...(rows.length === 0 ? [] : [table]),
    ...(unchanged === 0
      ? []
      : [unchanged === 1 ? "1 object stays as it is." : `${unchanged} objects stay as they are.`]),
    ...plan.notes.map((note) => `Note: ${note}`),
  ].join("\n");
}
