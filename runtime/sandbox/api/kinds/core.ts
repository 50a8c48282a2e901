/** The core group besides pods, and what stands close to it: leases, slices of endpoints, disruption budgets. */
import { resource } from "../../../kube/resources.ts";
import {
  checkName,
  duplicate,
  forbiddenField,
  immutable,
  invalidValue,
  required,
  unsupported,
} from "../field-errors.ts";
import { defineKind, type Kind } from "../kind.ts";
import {
  ensureFields,
  type Fields,
  fieldsAt,
  isFields,
  listAt,
  numberAt,
  type StoredObject,
  same,
  stringAt,
} from "../object.ts";
import { modelSchema } from "../schema.ts";
import type { FieldError } from "../status.ts";
import { age, column, count, labelText } from "./columns.ts";
import { setDefault } from "./pod-template.ts";
import { validatePort } from "./pod-validation.ts";

const ageColumn = column("Age", (object) => age(object.metadata.creationTimestamp));

const MAX_DATA_BYTES = 1024 * 1024;

function validateData(object: StoredObject, fields: readonly string[], base64: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  for (const field of fields) {
    for (const [key, value] of Object.entries(fieldsAt(object, field))) {
      if (!/^[-._a-zA-Z0-9]+$/.test(key) || key.length > 253 || key === "." || key === "..") {
        errors.push(
          invalidValue(
            `${field}[${key}]`,
            key,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
          ),
        );
      }
      if (seen.has(key)) errors.push(invalidValue(`${field}[${key}]`, key, "duplicate of key present in data"));
      seen.add(key);
      const text = String(value);
      bytes += base64.includes(field) ? Buffer.byteLength(text, "base64") : Buffer.byteLength(text);
    }
  }
  if (bytes > MAX_DATA_BYTES) {
    errors.push({
      reason: "FieldValueInvalid",
      field: "",
      message: `Too long: may not be more than ${MAX_DATA_BYTES} bytes`,
    });
  }
  return errors;
}

function dataStaysWhenImmutable(object: StoredObject, old: StoredObject, fields: readonly string[]): FieldError[] {
  if (old["immutable"] !== true) return [];
  const errors: FieldError[] = [];
  if (object["immutable"] !== true) {
    errors.push(forbiddenField("immutable", "field is immutable when `immutable` is set"));
  }
  for (const field of fields) {
    if (!same(object[field] ?? {}, old[field] ?? {})) {
      errors.push(forbiddenField(field, "field is immutable when `immutable` is set"));
    }
  }
  return errors;
}

const SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

function validateService(service: StoredObject): FieldError[] {
  const spec = fieldsAt(service, "spec");
  const errors: FieldError[] = [];
  const type = stringAt(spec, "type") ?? "";
  if (!SERVICE_TYPES.includes(type)) errors.push(unsupported("spec.type", type, SERVICE_TYPES));
  const ports = listAt(spec, "ports");
  if (ports.length === 0 && type !== "ExternalName" && spec["clusterIP"] !== "None") {
    errors.push(required("spec.ports"));
  }
  const names = new Set<string>();
  const numbers = new Set<string>();
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    const name = stringAt(port, "name") ?? "";
    if (name === "" && ports.length > 1) errors.push(required(`${at}.name`));
    if (name !== "") {
      errors.push(...checkName(`${at}.name`, name, "label"));
      if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    }
    names.add(name);
    errors.push(...validatePort(port["port"], `${at}.port`));
    const target = port["targetPort"];
    if (typeof target === "number") errors.push(...validatePort(target, `${at}.targetPort`));
    if (!["TCP", "UDP", "SCTP"].includes(String(port["protocol"]))) {
      errors.push(unsupported(`${at}.protocol`, port["protocol"], ["SCTP", "TCP", "UDP"]));
    }
    const id = `${String(port["port"])}/${String(port["protocol"])}`;
    if (numbers.has(id)) errors.push(duplicate(at, { port: port["port"], protocol: port["protocol"] }));
    numbers.add(id);
  });
  return errors;
}

function defaultService(service: StoredObject): void {
  const spec = ensureFields(service, "spec");
  setDefault(spec, "type", "ClusterIP");
  setDefault(spec, "sessionAffinity", "None");
  for (const port of listAt(spec, "ports")) {
    setDefault(port, "protocol", "TCP");
    setDefault(port, "targetPort", port["port"]);
  }
  service["status"] ??= {};
  setDefault(service["status"] as Fields, "loadBalancer", {});
  if (spec["type"] === "ExternalName") return;
  setDefault(spec, "internalTrafficPolicy", "Cluster");
  setDefault(spec, "ipFamilyPolicy", "SingleStack");
  setDefault(spec, "ipFamilies", ["IPv4"]);
  if (spec["type"] !== "ClusterIP") setDefault(spec, "externalTrafficPolicy", "Cluster");
}

function portsText(service: StoredObject): string {
  const ports = listAt(service, "spec", "ports").map((port) => {
    const node = numberAt(port, "nodePort");
    return `${String(port["port"])}${node === undefined ? "" : `:${node}`}/${String(port["protocol"])}`;
  });
  return ports.length === 0 ? "<none>" : ports.join(",");
}

const services = defineKind(resource.services, modelSchema("V1Service"), {
  shortNames: ["svc"],
  categories: ["all"],
  status: true,
  names: "label1035",
  subresources: [{ name: "proxy", kind: "ServiceProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] }],
  fieldSelectors: ["spec.clusterIP", "spec.type"],
  defaults: defaultService,
  validate: validateService,
  validateUpdate(object, old) {
    const before = stringAt(old, "spec", "clusterIP");
    const exposed = (service: StoredObject): boolean => stringAt(service, "spec", "type") !== "ExternalName";
    if (before === undefined || !exposed(object) || !exposed(old)) return [];
    return stringAt(object, "spec", "clusterIP") === before
      ? []
      : [invalidValue("spec.clusterIPs[0]", [stringAt(object, "spec", "clusterIP")], "may not change once set")];
  },
  columns: [
    column("Type", (service) => stringAt(service, "spec", "type") ?? ""),
    column("Cluster-IP", (service) => stringAt(service, "spec", "clusterIP") ?? "<none>"),
    column("External-IP", (service) => stringAt(service, "spec", "externalName") ?? "<none>"),
    column("Port(s)", portsText),
    ageColumn,
    column("Selector", (service) => labelText(fieldsAt(service, "spec")["selector"]), { priority: 1 }),
  ],
});

function condition(object: StoredObject, type: string): string | undefined {
  return stringAt(
    listAt(object, "status", "conditions").find((entry) => entry["type"] === type),
    "status",
  );
}

export const core: readonly Kind[] = [
  defineKind(resource.namespaces, modelSchema("V1Namespace"), {
    shortNames: ["ns"],
    status: true,
    names: "label",
    subresources: [{ name: "finalize", kind: "Namespace", verbs: ["update"] }],
    fieldSelectors: ["status.phase"],
    defaults(namespace) {
      const labels = ensureFields(namespace.metadata, "labels");
      labels["kubernetes.io/metadata.name"] = namespace.metadata.name;
    },
    columns: [column("Status", (namespace) => stringAt(namespace, "status", "phase") ?? ""), ageColumn],
  }),
  defineKind(resource.nodes, modelSchema("V1Node"), {
    shortNames: ["no"],
    status: true,
    fieldSelectors: ["spec.unschedulable"],
    columns: [
      column("Status", (node) => {
        const ready = condition(node, "Ready");
        const text = ready === "True" ? "Ready" : ready === "False" ? "NotReady" : "Unknown";
        return fieldsAt(node, "spec")["unschedulable"] === true ? `${text},SchedulingDisabled` : text;
      }),
      column("Roles", () => "<none>"),
      ageColumn,
      column("Version", (node) => stringAt(node, "status", "nodeInfo", "kubeletVersion") ?? ""),
      column(
        "Internal-IP",
        (node) =>
          stringAt(
            listAt(node, "status", "addresses").find((entry) => entry["type"] === "InternalIP"),
            "address",
          ) ?? "<none>",
        { priority: 1 },
      ),
      column("OS-Image", (node) => stringAt(node, "status", "nodeInfo", "osImage") ?? "", { priority: 1 }),
      column("Kernel-Version", (node) => stringAt(node, "status", "nodeInfo", "kernelVersion") ?? "", { priority: 1 }),
    ],
  }),
  services,
  defineKind(resource.endpoints, modelSchema("V1Endpoints"), {
    shortNames: ["ep"],
    columns: [
      column("Endpoints", (endpoints) => {
        const all = listAt(endpoints, "subsets").flatMap((subset) =>
          listAt(subset, "ports").flatMap((port) =>
            listAt(subset, "addresses").map((address) => `${String(address["ip"])}:${String(port["port"])}`),
          ),
        );
        return all.length === 0
          ? "<none>"
          : all.slice(0, 3).join(",") + (all.length > 3 ? ` + ${all.length - 3} more...` : "");
      }),
      ageColumn,
    ],
  }),
  defineKind(resource.configMaps, modelSchema("V1ConfigMap"), {
    shortNames: ["cm"],
    validate: (object) => validateData(object, ["data", "binaryData"], ["binaryData"]),
    validateUpdate: (object, old) => dataStaysWhenImmutable(object, old, ["data", "binaryData"]),
    columns: [
      column(
        "Data",
        (object) => Object.keys(fieldsAt(object, "data")).length + Object.keys(fieldsAt(object, "binaryData")).length,
        { type: "integer" },
      ),
      ageColumn,
    ],
  }),
  defineKind(resource.secrets, modelSchema("V1Secret"), {
    fieldSelectors: ["type"],
    defaults(secret) {
      setDefault(secret, "type", "Opaque");
      // stringData is write-only: it moves into data.
      const plain = fieldsAt(secret, "stringData");
      if (Object.keys(plain).length > 0) {
        const data = ensureFields(secret, "data");
        for (const [key, value] of Object.entries(plain)) data[key] = Buffer.from(String(value)).toString("base64");
      }
      delete secret["stringData"];
    },
    validate(secret) {
      const errors = validateData(secret, ["data"], ["data"]);
      const needed = secret["type"] === "kubernetes.io/tls" ? ["tls.crt", "tls.key"] : [];
      for (const key of needed) {
        if (fieldsAt(secret, "data")[key] === undefined) errors.push(required(`data[${key}]`));
      }
      return errors;
    },
    validateUpdate: (secret, old) => [
      ...immutable("type", secret["type"], old["type"]),
      ...dataStaysWhenImmutable(secret, old, ["data"]),
    ],
    columns: [
      column("Type", (secret) => String(secret["type"])),
      column("Data", (secret) => Object.keys(fieldsAt(secret, "data")).length, { type: "integer" }),
      ageColumn,
    ],
  }),
  defineKind(resource.serviceAccounts, modelSchema("V1ServiceAccount"), {
    shortNames: ["sa"],
    subresources: [
      { name: "token", kind: "TokenRequest", group: "authentication.k8s.io", version: "v1", verbs: ["create"] },
    ],
    columns: [column("Secrets", (account) => listAt(account, "secrets").length, { type: "integer" }), ageColumn],
  }),
  defineKind(resource.events, modelSchema("CoreV1Event"), {
    shortNames: ["ev"],
    fieldSelectors: [
      "involvedObject.kind",
      "involvedObject.namespace",
      "involvedObject.name",
      "involvedObject.uid",
      "involvedObject.apiVersion",
      "involvedObject.resourceVersion",
      "involvedObject.fieldPath",
      "reason",
      "reportingComponent",
      "source",
      "type",
    ],
    validate: (event) =>
      stringAt(event, "involvedObject", "namespace") === undefined ||
      stringAt(event, "involvedObject", "namespace") === event.metadata.namespace
        ? []
        : [
            invalidValue(
              "involvedObject.namespace",
              stringAt(event, "involvedObject", "namespace"),
              "does not match event.namespace",
            ),
          ],
    columns: [
      column("Last Seen", (event) =>
        age(stringAt(event, "lastTimestamp") ?? stringAt(event, "eventTime") ?? event.metadata.creationTimestamp),
      ),
      column("Type", (event) => stringAt(event, "type") ?? ""),
      column("Reason", (event) => stringAt(event, "reason") ?? ""),
      column(
        "Object",
        (event) =>
          `${(stringAt(event, "involvedObject", "kind") ?? "").toLowerCase()}/${stringAt(event, "involvedObject", "name") ?? ""}`,
      ),
      column("Message", (event) => (stringAt(event, "message") ?? "").trim()),
    ],
  }),
  defineKind(resource.endpointSlices, modelSchema("V1EndpointSlice"), {
    defaults(slice) {
      for (const port of listAt(slice, "ports")) {
        setDefault(port, "name", "");
        setDefault(port, "protocol", "TCP");
      }
    },
    validate: (slice) =>
      ["IPv4", "IPv6", "FQDN"].includes(String(slice["addressType"]))
        ? []
        : [unsupported("addressType", slice["addressType"] ?? "", ["FQDN", "IPv4", "IPv6"])],
    validateUpdate: (slice, old) => immutable("addressType", slice["addressType"], old["addressType"]),
    columns: [
      column("AddressType", (slice) => String(slice["addressType"])),
      column("Ports", (slice) => joined(listAt(slice, "ports").map((port) => String(port["port"])))),
      column("Endpoints", (slice) =>
        joined(listAt(slice, "endpoints").flatMap((endpoint) => endpoint["addresses"] as string[])),
      ),
      ageColumn,
    ],
  }),
  defineKind(resource.leases, modelSchema("V1Lease"), {
    columns: [column("Holder", (lease) => stringAt(lease, "spec", "holderIdentity") ?? ""), ageColumn],
  }),
  defineKind(resource.podDisruptionBudgets, modelSchema("V1PodDisruptionBudget"), {
    shortNames: ["pdb"],
    status: true,
    generation: true,
    validate: (budget) =>
      fieldsAt(budget, "spec")["minAvailable"] !== undefined && fieldsAt(budget, "spec")["maxUnavailable"] !== undefined
        ? [invalidValue("spec", budget["spec"], "minAvailable and maxUnavailable cannot be both set")]
        : [],
    columns: [
      column("Min Available", (budget) => text(fieldsAt(budget, "spec")["minAvailable"])),
      column("Max Unavailable", (budget) => text(fieldsAt(budget, "spec")["maxUnavailable"])),
      count("Allowed Disruptions", "status", "disruptionsAllowed"),
      ageColumn,
    ],
  }),
];

function joined(values: readonly string[]): string {
  if (values.length === 0) return "<unset>";
  return values.slice(0, 3).join(",") + (values.length > 3 ? ` + ${values.length - 3} more...` : "");
}

function text(value: unknown): string {
  return value === undefined || isFields(value) ? "N/A" : String(value);
}
