/**
 * Shapes of API objects: what fields there are, of what type, and how their lists merge. The types of built-in kinds come
 * from the client library's generated models; how lists merge (x-kubernetes-list-type and friends of Kubernetes' OpenAPI) is
 * {@link LISTS}. Custom resources bring a schema of their own (`custom-schema.ts`).
 */
import * as models from "@kubernetes/client-node/dist/gen/models/ObjectSerializer.js";

export interface ListSchema {
  readonly type: "list";
  readonly element: Schema;
  /** How server-side apply merges it. */
  readonly merge: "atomic" | "set" | "map";
  /** Fields that identify an item of a "map" list. */
  readonly keys: readonly string[];
  /** Strategic merge patch merges by this field ("" for lists of scalars); undefined: it replaces the list. */
  readonly patchKey?: string;
}

export interface StructSchema {
  readonly type: "struct";
  readonly name: string;
  readonly atomic: boolean;
  /** Undefined for a field there is none of. */
  field(name: string): Schema | undefined;
  /** Unknown fields stay (x-kubernetes-preserve-unknown-fields). */
  readonly open: boolean;
  /** Empty maps and lists stay, as in custom resources; built-in kinds leave them out (Go's omitempty). */
  readonly keepsEmpty: boolean;
  /** Strategic merge patch drops fields of it that the patch does not name (patch strategy retainKeys). */
  readonly retainKeys?: boolean;
}

export type Schema =
  | {
      readonly type:
        | "string"
        | "bytes"
        | "time"
        | "integer"
        | "number"
        | "boolean"
        | "int-or-string"
        | "quantity"
        | "any";
    }
  | { readonly type: "map"; readonly element: Schema; readonly atomic: boolean }
  | ListSchema
  | StructSchema;

interface Attribute {
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

const attributes = models as unknown as Readonly<
  Record<string, { readonly attributeTypeMap?: readonly Attribute[] } | undefined>
>;

/** `map` lists: `Model.field` → keys, then the patch merge key where it is not the first of them. */
const MAP_LISTS: Readonly<Record<string, readonly string[]>> = {
  "V1Container.env": ["name"],
  "V1Container.ports": ["containerPort", "protocol"],
  "V1Container.volumeDevices": ["devicePath"],
  "V1Container.volumeMounts": ["mountPath"],
  "V1EphemeralContainer.env": ["name"],
  "V1EphemeralContainer.ports": ["containerPort", "protocol"],
  "V1EphemeralContainer.volumeMounts": ["mountPath"],
  "V1ContainerStatus.volumeMounts": ["mountPath"],
  "V1PodSpec.containers": ["name"],
  "V1PodSpec.ephemeralContainers": ["name"],
  "V1PodSpec.hostAliases": ["ip"],
  "V1PodSpec.imagePullSecrets": ["name"],
  "V1PodSpec.initContainers": ["name"],
  "V1PodSpec.resourceClaims": ["name"],
  "V1PodSpec.schedulingGates": ["name"],
  "V1PodSpec.topologySpreadConstraints": ["topologyKey", "whenUnsatisfiable"],
  "V1PodSpec.volumes": ["name"],
  "V1PodStatus.podIPs": ["ip"],
  "V1NodeStatus.addresses": ["type"],
  "V1ServiceAccount.secrets": ["name"],
  "V1ServiceSpec.ports": ["port", "protocol"],
  "V1ResourceRequirements.claims": ["name"],
  "V1ObjectMeta.ownerReferences": ["uid"],
  "V1MutatingWebhook.matchConditions": ["name"],
  "V1MutatingWebhookConfiguration.webhooks": ["name"],
  "V1ValidatingWebhook.matchConditions": ["name"],
  "V1ValidatingWebhookConfiguration.webhooks": ["name"],
};

/** `set` lists; true where strategic merge patch merges them too. */
const SETS: Readonly<Record<string, boolean>> = {
  "V1ObjectMeta.finalizers": true,
  "V1NodeSpec.podCIDRs": true,
  "V1Endpoint.addresses": false,
};

const ATOMIC_STRUCTS = new Set([
  "V1ConfigMapKeySelector",
  "V1EndpointAddress",
  "CoreV1EndpointPort",
  "DiscoveryV1EndpointPort",
  "V1LabelSelector",
  "V1LocalObjectReference",
  "V1NodeSelector",
  "V1NodeSelectorTerm",
  "V1ObjectFieldSelector",
  "V1ObjectReference",
  "V1OwnerReference",
  "V1ResourceFieldSelector",
  "V1RoleRef",
  "RbacV1Subject",
  "V1SecretKeySelector",
  "V1SecretReference",
  "V1TypedLocalObjectReference",
]);

const ATOMIC_MAPS = new Set([
  "V1PodSpec.nodeSelector",
  "V1ServiceSpec.selector",
  "V1ReplicationControllerSpec.selector",
]);

const QUANTITY_MAPS = new Set([
  "V1ResourceRequirements.limits",
  "V1ResourceRequirements.requests",
  "V1NodeStatus.allocatable",
  "V1NodeStatus.capacity",
]);

const RETAIN_KEYS = new Set(["V1DeploymentStrategy", "V1Volume"]);

const QUANTITY: Schema = { type: "quantity" };
const ANY: Schema = { type: "any" };

const structs = new Map<string, StructSchema>();

/** @param name of a model, e.g. `V1Pod`. @throws Error where there is none */
export function modelSchema(name: string): StructSchema {
  let schema = structs.get(name);
  if (schema === undefined) {
    const model = attributes[name]?.attributeTypeMap;
    if (model === undefined) throw new Error(`no such model: ${name}`);
    const fields = new Map<string, Schema>();
    schema = {
      type: "struct",
      name,
      atomic: ATOMIC_STRUCTS.has(name),
      open: false,
      keepsEmpty: false,
      retainKeys: RETAIN_KEYS.has(name),
      field(field) {
        const known = fields.get(field);
        if (known !== undefined) return known;
        const attribute = model.find((entry) => entry.baseName === field);
        if (attribute === undefined) return undefined;
        const made = attributeSchema(`${name}.${field}`, attribute.type, attribute.format);
        fields.set(field, made);
        return made;
      },
    };
    structs.set(name, schema);
  }
  return schema;
}

function attributeSchema(path: string, type: string, format: string): Schema {
  const list = /^Array<(.+)>$/.exec(type)?.[1];
  if (list !== undefined) return listSchema(path, attributeSchema(path, list, format));
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1];
  if (map !== undefined) {
    const element = QUANTITY_MAPS.has(path) ? QUANTITY : attributeSchema(path, map, format);
    return { type: "map", element, atomic: ATOMIC_MAPS.has(path) };
  }
  switch (type) {
    case "string":
      return { type: format === "byte" ? "bytes" : "string" };
    case "number":
      return { type: format === "double" ? "number" : "integer" };
    case "boolean":
      return { type: "boolean" };
    case "Date":
      return { type: "time" };
    case "IntOrString":
      return { type: "int-or-string" };
    case "any":
      return ANY;
    default:
      return attributes[type]?.attributeTypeMap === undefined ? { type: "time" } : modelSchema(type);
  }
}

function listSchema(path: string, element: Schema): ListSchema {
  const set = SETS[path];
  if (set !== undefined) return { type: "list", element, merge: "set", keys: [], ...(set ? { patchKey: "" } : {}) };
  const isCondition =
    path.endsWith("Status.conditions") && element.type === "struct" && element.field("type") !== undefined;
  const keys = isCondition ? ["type"] : MAP_LISTS[path];
  if (keys === undefined) return { type: "list", element, merge: "atomic", keys: [] };
  const patchKey = path === "V1ResourceRequirements.claims" ? undefined : keys[0];
  return { type: "list", element, merge: "map", keys, ...(patchKey === undefined ? {} : { patchKey }) };
}
