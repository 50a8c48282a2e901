/** Roles and bindings every cluster has from its start, as far as the sandbox serves what they speak of. */
import type { KubeObject } from "../../kube/types.ts";
import { ADMIN_GROUP, AUTHENTICATED_GROUP } from "./access.ts";
import { RBAC_GROUP } from "./kinds/control.ts";
import type { PolicyRule } from "./rbac.ts";

const RBAC = `${RBAC_GROUP}/v1`;
const READ = ["get", "list", "watch"];
const WRITE = ["create", "delete", "deletecollection", "patch", "update"];

function rule(apiGroup: string, resources: readonly string[], verbs: readonly string[]): PolicyRule {
  return { apiGroups: [apiGroup], resources, verbs };
}

const APPS = ["daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets"];

const VIEW: PolicyRule[] = [
  rule(
    "",
    ["configmaps", "endpoints", "pods", "replicationcontrollers", "serviceaccounts", "services", "services/status"],
    READ,
  ),
  rule("", ["events", "namespaces/status", "pods/log", "pods/status", "replicationcontrollers/status"], READ),
  rule("", ["namespaces"], READ),
  rule("discovery.k8s.io", ["endpointslices"], READ),
  rule("apps", [...APPS, "daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status"], READ),
  rule("batch", ["cronjobs", "cronjobs/status", "jobs", "jobs/status"], READ),
  rule("policy", ["poddisruptionbudgets", "poddisruptionbudgets/status"], READ),
  rule("networking.k8s.io", ["networkpolicies"], READ),
];

const EDIT: PolicyRule[] = [
  rule("", ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"], READ),
  rule("", ["serviceaccounts"], ["impersonate"]),
  rule("", ["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"], WRITE),
  rule("", ["pods/eviction"], ["create"]),
  rule(
    "",
    ["configmaps", "events", "replicationcontrollers", "secrets", "serviceaccounts", "services", "services/proxy"],
    WRITE,
  ),
  rule("", ["serviceaccounts/token"], ["create"]),
  rule("apps", APPS, WRITE),
  rule("batch", ["cronjobs", "jobs"], WRITE),
  rule("policy", ["poddisruptionbudgets"], WRITE),
  rule("networking.k8s.io", ["networkpolicies"], WRITE),
  rule("coordination.k8s.io", ["leases"], [...READ, ...WRITE]),
];

const ADMIN: PolicyRule[] = [
  rule("authorization.k8s.io", ["localsubjectaccessreviews"], ["create"]),
  rule(RBAC_GROUP, ["rolebindings", "roles"], [...READ, ...WRITE]),
];

const INFO = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
const DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", ...INFO];

function aggregateTo(name: string): Record<string, string> {
  return { [`${RBAC_GROUP}/aggregate-to-${name}`]: "true" };
}

function clusterRole(
  name: string,
  rules: readonly PolicyRule[],
  more: { labels?: Record<string, string>; collects?: string } = {},
): KubeObject {
  const { labels = {}, collects } = more;
  return {
    apiVersion: RBAC,
    kind: "ClusterRole",
    metadata: { name, labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...labels } },
    ...(collects === undefined
      ? {}
      : { aggregationRule: { clusterRoleSelectors: [{ matchLabels: aggregateTo(collects) }] } }),
    rules,
  };
}

function clusterRoleBinding(name: string, group: string): KubeObject {
  return {
    apiVersion: RBAC,
    kind: "ClusterRoleBinding",
    metadata: { name, labels: { "kubernetes.io/bootstrapping": "rbac-defaults" } },
    roleRef: { apiGroup: RBAC_GROUP, kind: "ClusterRole", name },
    subjects: [{ apiGroup: RBAC_GROUP, kind: "Group", name: group }],
  };
}

export const EXTENSION_AUTHENTICATION = "extension-apiserver-authentication";

export function defaultRoles(): KubeObject[] {
  return [
    clusterRole("cluster-admin", [rule("*", ["*"], ["*"]), { verbs: ["*"], nonResourceURLs: ["*"] }]),
    clusterRole("admin", [], { collects: "admin" }),
    clusterRole("edit", [], { collects: "edit", labels: aggregateTo("admin") }),
    clusterRole("view", [], { collects: "view", labels: aggregateTo("edit") }),
    clusterRole("system:aggregate-to-admin", ADMIN, { labels: aggregateTo("admin") }),
    clusterRole("system:aggregate-to-edit", EDIT, { labels: aggregateTo("edit") }),
    clusterRole("system:aggregate-to-view", VIEW, { labels: aggregateTo("view") }),
    clusterRole("system:auth-delegator", [
      rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
      rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
    ]),
    clusterRole("system:basic-user", [
      rule("authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
      rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
    ]),
    clusterRole("system:discovery", [{ verbs: ["get"], nonResourceURLs: DISCOVERY }]),
    clusterRole("system:public-info-viewer", [{ verbs: ["get"], nonResourceURLs: INFO }]),
    clusterRoleBinding("cluster-admin", ADMIN_GROUP),
    clusterRoleBinding("system:basic-user", AUTHENTICATED_GROUP),
    clusterRoleBinding("system:discovery", AUTHENTICATED_GROUP),
    clusterRoleBinding("system:public-info-viewer", AUTHENTICATED_GROUP),
    {
      apiVersion: RBAC,
      kind: "Role",
      metadata: { name: `${EXTENSION_AUTHENTICATION}-reader`, namespace: "kube-system" },
      rules: [{ ...rule("", ["configmaps"], READ), resourceNames: [EXTENSION_AUTHENTICATION] }],
    },
  ];
}
