import type { Resource } from "../../../kube/types.ts";
import { invalidValue } from "../field-errors.ts";
import { defineKind, type Kind } from "../kind.ts";
import { fieldsAt } from "../object.ts";
import { modelSchema } from "../schema.ts";
import { age, column } from "./columns.ts";

export const resourceQuotas: Resource = {
  group: "",
  version: "v1",
  plural: "resourcequotas",
  kind: "ResourceQuota",
  namespaced: true,
};

/** Only `hard.pods` is counted here: a quota that would not be kept is refused. */
export const quotas: Kind = defineKind(resourceQuotas, modelSchema("V1ResourceQuota"), {
  shortNames: ["quota"],
  status: true,
  validate: (quota) =>
    Object.keys(fieldsAt(quota, "spec", "hard"))
      .filter((name) => name !== "pods")
      .map((name) => invalidValue(`spec.hard[${name}]`, name, "the sandbox counts nothing but pods")),
  columns: [
    column("Age", (quota) => age(quota.metadata.creationTimestamp)),
    column("Request", (quota) => {
      const used = fieldsAt(quota, "status", "used");
      const hard = Object.entries(fieldsAt(quota, "spec", "hard"));
      return hard.map(([name, limit]) => `${name}: ${String(used[name] ?? 0)}/${String(limit)}`).join(", ");
    }),
  ],
});
