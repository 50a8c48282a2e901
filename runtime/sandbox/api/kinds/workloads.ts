import { resource } from "../../../kube/resources.ts";
import type { Resource } from "../../../kube/types.ts";
import { forbiddenField, immutable, invalidValue, required, unsupported } from "../field-errors.ts";
import { defineKind, type Kind, type KindOptions } from "../kind.ts";
import {
  ensureFields,
  type Fields,
  fieldsAt,
  isFields,
  listAt,
  numberAt,
  type StoredObject,
  stringAt,
} from "../object.ts";
import { modelSchema } from "../schema.ts";
import { selectorMatches } from "../selectors.ts";
import type { FieldError } from "../status.ts";
import { age, column, count, labelText } from "./columns.ts";
import { defaultPodSpec, setDefault } from "./pod-template.ts";
import { validateTemplate } from "./pod-validation.ts";

/** What `spec` of a workload has in any case: an object, a template with its metadata and spec. */
function templateOf(object: StoredObject): { spec: Fields; template: Fields; podSpec: Fields } {
  const spec = ensureFields(object, "spec");
  const template = ensureFields(spec, "template");
  const podSpec = ensureFields(template, "spec");
  template["metadata"] ??= {};
  return { spec, template, podSpec };
}

function validateWorkload(object: StoredObject): FieldError[] {
  const spec = fieldsAt(object, "spec");
  const errors: FieldError[] = [];
  const replicas = numberAt(spec, "replicas");
  if (replicas !== undefined && replicas < 0) {
    errors.push(invalidValue("spec.replicas", replicas, "must be greater than or equal to 0"));
  }
  const selector = spec["selector"];
  const labels = fieldsAt(spec, "template", "metadata", "labels") as Record<string, string>;
  if (!isFields(selector)) errors.push(required("spec.selector"));
  else if (Object.keys(fieldsAt(selector, "matchLabels")).length + listAt(selector, "matchExpressions").length === 0) {
    errors.push(invalidValue("spec.selector", selector, "empty selector is invalid for deployment"));
  }
  if (!selectorMatches(selector, labels)) {
    errors.push(invalidValue("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
  }
  errors.push(...validateTemplate(spec["template"], "spec.template"));
  const policy = stringAt(spec, "template", "spec", "restartPolicy");
  if (policy !== undefined && policy !== "Always") {
    errors.push(unsupported("spec.template.spec.restartPolicy", policy, ["Always"]));
  }
  return errors;
}

function validateDeployment(object: StoredObject): FieldError[] {
  const errors = validateWorkload(object);
  const strategy = fieldsAt(object, "spec", "strategy");
  const type = stringAt(strategy, "type");
  if (type !== "RollingUpdate" && type !== "Recreate") {
    errors.push(unsupported("spec.strategy", type, ["Recreate", "RollingUpdate"]));
  }
  if (type === "Recreate" && strategy["rollingUpdate"] !== undefined) {
    errors.push({
      reason: "FieldValueForbidden",
      field: "spec.strategy.rollingUpdate",
      message: "Forbidden: may not be specified when strategy `type` is 'Recreate'",
    });
  }
  const rolling = fieldsAt(strategy, "rollingUpdate");
  if (isZero(rolling["maxSurge"]) && isZero(rolling["maxUnavailable"])) {
    errors.push(
      invalidValue(
        "spec.strategy.rollingUpdate.maxUnavailable",
        rolling["maxUnavailable"],
        "may not be 0 when `maxSurge` is 0",
      ),
    );
  }
  return errors;
}

function isZero(value: unknown): boolean {
  return value === 0 || value === "0%";
}

const selectorStays: Kind["validateUpdate"] = (object, old) =>
  immutable("spec.selector", fieldsAt(object, "spec")["selector"], fieldsAt(old, "spec")["selector"]);

function containerColumns(): Kind["columns"] {
  const containers = (object: StoredObject): Fields[] => listAt(object, "spec", "template", "spec", "containers");
  return [
    column(
      "Containers",
      (object) =>
        containers(object)
          .map((entry) => String(entry["name"]))
          .join(","),
      { priority: 1 },
    ),
    column(
      "Images",
      (object) =>
        containers(object)
          .map((entry) => String(entry["image"]))
          .join(","),
      { priority: 1 },
    ),
    column("Selector", (object) => labelText(fieldsAt(object, "spec", "selector")["matchLabels"]), { priority: 1 }),
  ];
}

/** `kubectl describe namespace` lists them. */
const limitRanges: Resource = {
  group: "",
  version: "v1",
  plural: "limitranges",
  kind: "LimitRange",
  namespaced: true,
};

const ageColumn = column("Age", (object) => age(object.metadata.creationTimestamp));
const scale = {
  name: "scale",
  kind: "Scale",
  group: "autoscaling",
  version: "v1",
  verbs: ["get", "patch", "update"],
};

export const workloads: readonly Kind[] = [
  defineKind(resource.deployments, modelSchema("V1Deployment"), {
    shortNames: ["deploy"],
    categories: ["all"],
    status: true,
    generation: true,
    subresources: [scale],
    defaults(object) {
      const { spec, podSpec } = templateOf(object);
      setDefault(spec, "replicas", 1);
      setDefault(spec, "revisionHistoryLimit", 10);
      setDefault(spec, "progressDeadlineSeconds", 600);
      const strategy = ensureFields(spec, "strategy");
      setDefault(strategy, "type", "RollingUpdate");
      if (strategy["type"] === "RollingUpdate") {
        const rolling = ensureFields(strategy, "rollingUpdate");
        setDefault(rolling, "maxSurge", "25%");
        setDefault(rolling, "maxUnavailable", "25%");
      }
      defaultPodSpec(podSpec);
    },
    validate: validateDeployment,
    validateUpdate: selectorStays,
    columns: [
      column("Ready", (object) => `${status(object, "readyReplicas")}/${numberAt(object, "spec", "replicas") ?? 0}`),
      count("Up-to-date", "status", "updatedReplicas"),
      count("Available", "status", "availableReplicas"),
      ageColumn,
      ...containerColumns(),
    ],
  }),
  defineKind(resource.replicaSets, modelSchema("V1ReplicaSet"), {
    shortNames: ["rs"],
    categories: ["all"],
    status: true,
    generation: true,
    subresources: [scale],
    fieldSelectors: ["status.replicas"],
    defaults(object) {
      const { spec, podSpec } = templateOf(object);
      setDefault(spec, "replicas", 1);
      defaultPodSpec(podSpec);
    },
    validate: validateWorkload,
    validateUpdate: selectorStays,
    columns: [
      count("Desired", "spec", "replicas"),
      count("Current", "status", "replicas"),
      count("Ready", "status", "readyReplicas"),
      ageColumn,
      ...containerColumns(),
    ],
  }),
  defineKind(resource.statefulSets, modelSchema("V1StatefulSet"), {
    shortNames: ["sts"],
    categories: ["all"],
    status: true,
    generation: true,
    subresources: [scale],
    defaults(object) {
      const { spec, podSpec } = templateOf(object);
      setDefault(spec, "replicas", 1);
      setDefault(spec, "revisionHistoryLimit", 10);
      setDefault(spec, "podManagementPolicy", "OrderedReady");
      setDefault(spec, "persistentVolumeClaimRetentionPolicy", { whenDeleted: "Retain", whenScaled: "Retain" });
      defaultUpdateStrategy(spec, { partition: 0 });
      defaultPodSpec(podSpec);
    },
    validate: (object) => [
      ...validateWorkload(object),
      ...(listAt(object, "spec", "volumeClaimTemplates").length === 0
        ? []
        : [forbiddenField("spec.volumeClaimTemplates", "the sandbox has no persistent volumes")]),
    ],
    validateUpdate: selectorStays,
    columns: [
      column("Ready", (object) => `${status(object, "readyReplicas")}/${numberAt(object, "spec", "replicas") ?? 0}`),
      ageColumn,
      ...containerColumns().slice(0, 2),
    ],
  }),
  defineKind(resource.daemonSets, modelSchema("V1DaemonSet"), {
    shortNames: ["ds"],
    categories: ["all"],
    status: true,
    generation: true,
    defaults(object) {
      const { spec, podSpec } = templateOf(object);
      setDefault(spec, "revisionHistoryLimit", 10);
      defaultUpdateStrategy(spec, { maxSurge: 0, maxUnavailable: 1 });
      defaultPodSpec(podSpec);
    },
    validate: validateWorkload,
    validateUpdate: selectorStays,
    columns: [
      count("Desired", "status", "desiredNumberScheduled"),
      count("Current", "status", "currentNumberScheduled"),
      count("Ready", "status", "numberReady"),
      count("Up-to-date", "status", "updatedNumberScheduled"),
      count("Available", "status", "numberAvailable"),
      column("Node Selector", (object) => labelText(fieldsAt(object, "spec", "template", "spec")["nodeSelector"])),
      ageColumn,
      ...containerColumns(),
    ],
  }),
  inert(limitRanges, "V1LimitRange", { shortNames: ["limits"] }),
  inert(resource.jobs, "V1Job", { categories: ["all"] }),
  inert(resource.cronJobs, "V1CronJob", { shortNames: ["cj"], categories: ["all"] }),
  inert(resource.replicationControllers, "V1ReplicationController", { shortNames: ["rc"], categories: ["all"] }),
  inert(resource.networkPolicies, "V1NetworkPolicy", { shortNames: ["netpol"] }),
];

function defaultUpdateStrategy(spec: Fields, rolling: Fields): void {
  const strategy = ensureFields(spec, "updateStrategy");
  setDefault(strategy, "type", "RollingUpdate");
  if (strategy["type"] === "RollingUpdate")
    strategy["rollingUpdate"] = { ...rolling, ...fieldsAt(strategy, "rollingUpdate") };
}

/** Lists are empty; to make one is refused, because nothing here would act on it. */
function inert(kind: Resource, model: string, options: KindOptions): Kind {
  return defineKind(kind, modelSchema(model), { ...options, inert: true, columns: [ageColumn] });
}

function status(object: StoredObject, field: string): number {
  return numberAt(object, "status", field) ?? 0;
}
