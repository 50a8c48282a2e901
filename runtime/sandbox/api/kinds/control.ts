/** Kinds that govern the API itself: RBAC, admission, aggregation, definitions of custom resources. */
import { resource } from "../../../kube/resources.ts";
import { immutable, invalidValue, required, unsupported } from "../field-errors.ts";
import { defineKind, type Kind } from "../kind.ts";
import { type Fields, fieldsAt, isFields, listAt, type StoredObject, stringAt } from "../object.ts";
import { modelSchema } from "../schema.ts";
import type { FieldError } from "../status.ts";
import { age, column } from "./columns.ts";
import { setDefault } from "./pod-template.ts";

export const RBAC_GROUP = "rbac.authorization.k8s.io";

const ageColumn = column("Age", (object) => age(object.metadata.creationTimestamp));

function validateRules(role: StoredObject): FieldError[] {
  const errors: FieldError[] = [];
  listAt(role, "rules").forEach((rule, index) => {
    const at = `rules[${index}]`;
    const filled = (field: string): boolean => Array.isArray(rule[field]) && rule[field].length > 0;
    if (!filled("verbs")) errors.push(required(`${at}.verbs`, "verbs must contain at least one value"));
    if (filled("nonResourceURLs")) return;
    if (!filled("apiGroups"))
      errors.push(required(`${at}.apiGroups`, "resource rules must supply at least one api group"));
    if (!filled("resources"))
      errors.push(required(`${at}.resources`, "resource rules must supply at least one resource"));
  });
  return errors;
}

function defaultBinding(binding: StoredObject): void {
  const roleRef = binding["roleRef"];
  if (isFields(roleRef) && (roleRef["apiGroup"] ?? "") === "") roleRef["apiGroup"] = RBAC_GROUP;
  for (const subject of listAt(binding, "subjects")) {
    if ((subject["apiGroup"] ?? "") !== "") continue;
    if (subject["kind"] === "User" || subject["kind"] === "Group") subject["apiGroup"] = RBAC_GROUP;
    else delete subject["apiGroup"];
  }
}

function validateBinding(namespaced: boolean): Kind["validate"] {
  return (binding) => {
    const errors: FieldError[] = [];
    const kinds = namespaced ? ["ClusterRole", "Role"] : ["ClusterRole"];
    const kind = stringAt(binding, "roleRef", "kind") ?? "";
    if (!kinds.includes(kind)) errors.push(unsupported("roleRef.kind", kind, kinds));
    if ((stringAt(binding, "roleRef", "name") ?? "") === "") errors.push(required("roleRef.name"));
    listAt(binding, "subjects").forEach((subject, index) => {
      const at = `subjects[${index}]`;
      if ((subject["name"] ?? "") === "") errors.push(required(`${at}.name`));
      if (!["ServiceAccount", "User", "Group"].includes(String(subject["kind"]))) {
        errors.push(unsupported(`${at}.kind`, subject["kind"] ?? "", ["Group", "ServiceAccount", "User"]));
      }
      if (subject["kind"] === "ServiceAccount" && (subject["namespace"] ?? "") === "" && !namespaced) {
        errors.push(required(`${at}.namespace`));
      }
    });
    return errors;
  };
}

const roleRefStays: Kind["validateUpdate"] = (binding, old) =>
  immutable("roleRef", binding["roleRef"], old["roleRef"]).map((error) => ({
    ...error,
    message: error.message.replace("field is immutable", "cannot change roleRef"),
  }));

function roleRefColumn(): Kind["columns"] {
  return [
    column("Role", (binding) => `${stringAt(binding, "roleRef", "kind")}/${stringAt(binding, "roleRef", "name")}`),
    ageColumn,
  ];
}

function defaultWebhooks(mutating: boolean): Kind["defaults"] {
  return (configuration) => {
    for (const webhook of listAt(configuration, "webhooks")) {
      setDefault(webhook, "failurePolicy", "Fail");
      setDefault(webhook, "matchPolicy", "Equivalent");
      setDefault(webhook, "namespaceSelector", {});
      setDefault(webhook, "objectSelector", {});
      setDefault(webhook, "timeoutSeconds", 10);
      if (mutating) setDefault(webhook, "reinvocationPolicy", "Never");
      const service = fieldsAt(webhook, "clientConfig")["service"];
      if (isFields(service)) setDefault(service, "port", 443);
      for (const rule of listAt(webhook, "rules")) setDefault(rule, "scope", "*");
    }
  };
}

function validateWebhooks(configuration: StoredObject): FieldError[] {
  const errors: FieldError[] = [];
  listAt(configuration, "webhooks").forEach((webhook, index) => {
    const at = `webhooks[${index}]`;
    const name = stringAt(webhook, "name") ?? "";
    if (name === "") errors.push(required(`${at}.name`));
    else if (name.split(".").length < 3) {
      errors.push(
        invalidValue(`${at}.name`, name, "should be a domain with at least three segments separated by dots"),
      );
    }
    const effects = webhook["sideEffects"];
    if (effects === undefined) errors.push(required(`${at}.sideEffects`, `must specify one of None, NoneOnDryRun`));
    else if (effects !== "None" && effects !== "NoneOnDryRun") {
      errors.push(unsupported(`${at}.sideEffects`, effects, ["None", "NoneOnDryRun"]));
    }
    const versions = webhook["admissionReviewVersions"];
    if (!Array.isArray(versions) || versions.length === 0) {
      errors.push(required(`${at}.admissionReviewVersions`, "must specify one of v1, v1beta1"));
    } else if (!versions.includes("v1")) {
      errors.push(invalidValue(`${at}.admissionReviewVersions`, versions, "must include at least one of v1, v1beta1"));
    }
    const seconds = webhook["timeoutSeconds"];
    if (typeof seconds === "number" && (seconds < 1 || seconds > 30)) {
      errors.push(invalidValue(`${at}.timeoutSeconds`, seconds, "the timeout value must be between 1 and 30 seconds"));
    }
    const client = fieldsAt(webhook, "clientConfig");
    if ((client["url"] === undefined) === (client["service"] === undefined)) {
      errors.push(required(`${at}.clientConfig`, "exactly one of url or service is required"));
    }
  });
  return errors;
}

function webhookKind(
  entry: (typeof resource)["mutatingWebhookConfigurations"],
  model: string,
  mutating: boolean,
): Kind {
  return defineKind(entry, modelSchema(model), {
    categories: ["api-extensions"],
    generation: true,
    defaults: defaultWebhooks(mutating),
    validate: validateWebhooks,
    columns: [column("Webhooks", (object) => listAt(object, "webhooks").length, { type: "integer" }), ageColumn],
  });
}

function validateApiService(service: StoredObject): FieldError[] {
  const spec = fieldsAt(service, "spec");
  const expected = `${stringAt(spec, "version") ?? ""}.${stringAt(spec, "group") ?? ""}`;
  const errors: FieldError[] = [];
  if (service.metadata.name !== expected) {
    errors.push(
      invalidValue("metadata.name", service.metadata.name, `must be \`spec.version+"."+spec.group\`: "${expected}"`),
    );
  }
  for (const field of ["groupPriorityMinimum", "versionPriority"]) {
    if (typeof spec[field] !== "number" || spec[field] <= 0) {
      errors.push(invalidValue(`spec.${field}`, spec[field] ?? 0, "must be positive"));
    }
  }
  if (spec["insecureSkipTLSVerify"] === true && spec["caBundle"] !== undefined) {
    errors.push(invalidValue("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  }
  return errors;
}

function validateDefinition(definition: StoredObject): FieldError[] {
  const spec = fieldsAt(definition, "spec");
  const expected = `${stringAt(spec, "names", "plural") ?? ""}.${stringAt(spec, "group") ?? ""}`;
  const errors: FieldError[] = [];
  if (definition.metadata.name !== expected) {
    errors.push(invalidValue("metadata.name", definition.metadata.name, `must be spec.names.plural+"."+spec.group`));
  }
  const versions = listAt(spec, "versions");
  if (versions.filter((version) => version["storage"] === true).length !== 1) {
    errors.push(
      invalidValue(
        "spec.versions",
        versions.map((version) => version["name"]),
        "must have exactly one version marked as storage version",
      ),
    );
  }
  versions.forEach((version, index) => {
    if (!isFields(fieldsAt(version, "schema")["openAPIV3Schema"])) {
      errors.push(required(`spec.versions[${index}].schema.openAPIV3Schema`, "schemas are required"));
    }
  });
  if (!["Namespaced", "Cluster"].includes(String(spec["scope"]))) {
    errors.push(unsupported("spec.scope", spec["scope"] ?? "", ["Cluster", "Namespaced"]));
  }
  return errors;
}

function availability(service: StoredObject): string {
  const condition = listAt(service, "status", "conditions").find((entry) => entry["type"] === "Available");
  const status = stringAt(condition, "status") ?? "Unknown";
  return status === "True" ? status : `${status} (${stringAt(condition, "reason") ?? ""})`;
}

function defaultDefinition(definition: StoredObject): void {
  const names = fieldsAt(definition, "spec")["names"];
  if (!isFields(names)) return;
  const kind = String(names["kind"] ?? "");
  setDefault(names, "singular", kind.toLowerCase());
  setDefault(names, "listKind", `${kind}List`);
  setDefault(fieldsAt(definition, "spec"), "conversion", { strategy: "None" } satisfies Fields);
}

export const control: readonly Kind[] = [
  defineKind(resource.roles, modelSchema("V1Role"), {
    names: "path",
    validate: validateRules,
    columns: [column("Created At", (role) => role.metadata.creationTimestamp ?? "")],
  }),
  defineKind(resource.clusterRoles, modelSchema("V1ClusterRole"), {
    names: "path",
    validate: validateRules,
    columns: [column("Created At", (role) => role.metadata.creationTimestamp ?? "")],
  }),
  defineKind(resource.roleBindings, modelSchema("V1RoleBinding"), {
    names: "path",
    defaults: defaultBinding,
    validate: validateBinding(true),
    validateUpdate: roleRefStays,
    columns: roleRefColumn(),
  }),
  defineKind(resource.clusterRoleBindings, modelSchema("V1ClusterRoleBinding"), {
    names: "path",
    defaults: defaultBinding,
    validate: validateBinding(false),
    validateUpdate: roleRefStays,
    columns: roleRefColumn(),
  }),
  webhookKind(resource.mutatingWebhookConfigurations, "V1MutatingWebhookConfiguration", true),
  webhookKind(resource.validatingWebhookConfigurations, "V1ValidatingWebhookConfiguration", false),
  defineKind(resource.apiServices, modelSchema("V1APIService"), {
    names: "path",
    categories: ["api-extensions"],
    status: true,
    defaults(service) {
      const target = fieldsAt(service, "spec")["service"];
      if (isFields(target)) setDefault(target, "port", 443);
    },
    validate: validateApiService,
    columns: [
      column("Service", (service) => {
        const target = fieldsAt(service, "spec")["service"];
        return isFields(target) ? `${String(target["namespace"])}/${String(target["name"])}` : "Local";
      }),
      column("Available", availability),
      ageColumn,
    ],
  }),
  defineKind(resource.customResourceDefinitions, modelSchema("V1CustomResourceDefinition"), {
    shortNames: ["crd", "crds"],
    categories: ["api-extensions"],
    status: true,
    generation: true,
    defaults: defaultDefinition,
    validate: validateDefinition,
    columns: [column("Created At", (definition) => definition.metadata.creationTimestamp ?? "")],
  }),
];
