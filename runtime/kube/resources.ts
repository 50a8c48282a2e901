/** Every kind that Weft reads or writes, as the API's paths name it. */
import type { KubeObject, Resource } from "./types.ts";

function define(apiVersion: string, kind: string, plural: string, namespaced = true): Resource {
  const slash = apiVersion.indexOf("/");
  return {
    group: slash === -1 ? "" : apiVersion.slice(0, slash),
    version: apiVersion.slice(slash + 1),
    plural,
    kind,
    namespaced,
  };
}

const CLUSTER = false;

export const resource = {
  namespaces: define("v1", "Namespace", "namespaces", CLUSTER),
  nodes: define("v1", "Node", "nodes", CLUSTER),
  pods: define("v1", "Pod", "pods"),
  services: define("v1", "Service", "services"),
  endpoints: define("v1", "Endpoints", "endpoints"),
  configMaps: define("v1", "ConfigMap", "configmaps"),
  secrets: define("v1", "Secret", "secrets"),
  serviceAccounts: define("v1", "ServiceAccount", "serviceaccounts"),
  replicationControllers: define("v1", "ReplicationController", "replicationcontrollers"),
  events: define("v1", "Event", "events"),
  deployments: define("apps/v1", "Deployment", "deployments"),
  replicaSets: define("apps/v1", "ReplicaSet", "replicasets"),
  statefulSets: define("apps/v1", "StatefulSet", "statefulsets"),
  daemonSets: define("apps/v1", "DaemonSet", "daemonsets"),
  jobs: define("batch/v1", "Job", "jobs"),
  cronJobs: define("batch/v1", "CronJob", "cronjobs"),
  endpointSlices: define("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
  leases: define("coordination.k8s.io/v1", "Lease", "leases"),
  podDisruptionBudgets: define("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
  networkPolicies: define("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),

  roles: define("rbac.authorization.k8s.io/v1", "Role", "roles"),
  roleBindings: define("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
  clusterRoles: define("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", CLUSTER),
  clusterRoleBindings: define("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", CLUSTER),
  tokenReviews: define("authentication.k8s.io/v1", "TokenReview", "tokenreviews", CLUSTER),
  selfSubjectReviews: define("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", CLUSTER),
  subjectAccessReviews: define("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", CLUSTER),
  selfSubjectAccessReviews: define(
    "authorization.k8s.io/v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    CLUSTER,
  ),
  selfSubjectRulesReviews: define(
    "authorization.k8s.io/v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    CLUSTER,
  ),

  mutatingWebhookConfigurations: define(
    "admissionregistration.k8s.io/v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    CLUSTER,
  ),
  validatingWebhookConfigurations: define(
    "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    CLUSTER,
  ),
  apiServices: define("apiregistration.k8s.io/v1", "APIService", "apiservices", CLUSTER),
  customResourceDefinitions: define(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    CLUSTER,
  ),

  serviceProfiles: define("linkerd.io/v1alpha2", "ServiceProfile", "serviceprofiles"),
  servers: define("policy.linkerd.io/v1beta3", "Server", "servers"),
  serverAuthorizations: define("policy.linkerd.io/v1beta1", "ServerAuthorization", "serverauthorizations"),
  authorizationPolicies: define("policy.linkerd.io/v1alpha1", "AuthorizationPolicy", "authorizationpolicies"),
  meshTLSAuthentications: define("policy.linkerd.io/v1alpha1", "MeshTLSAuthentication", "meshtlsauthentications"),
  networkAuthentications: define("policy.linkerd.io/v1alpha1", "NetworkAuthentication", "networkauthentications"),
  linkerdHttpRoutes: define("policy.linkerd.io/v1beta3", "HTTPRoute", "httproutes"),
  httpRoutes: define("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
  grpcRoutes: define("gateway.networking.k8s.io/v1", "GRPCRoute", "grpcroutes"),
  trafficSplits: define("split.smi-spec.io/v1alpha2", "TrafficSplit", "trafficsplits"),
} as const satisfies Record<string, Resource>;

const byKind = new Map<string, Resource>(
  Object.values(resource).map((entry) => [`${apiVersionOf(entry)} ${entry.kind}`, entry]),
);

/** `apps/v1`, or `v1` for the core group. */
export function apiVersionOf(entry: Resource): string {
  return entry.group === "" ? entry.version : `${entry.group}/${entry.version}`;
}

/** @throws Error where the object's kind is none of {@link resource} */
export function resourceOf(object: Pick<KubeObject, "apiVersion" | "kind">): Resource {
  const found = byKind.get(`${object.apiVersion} ${object.kind}`);
  if (found === undefined) throw new Error(`no such resource: ${object.apiVersion} ${object.kind}`);
  return found;
}

/** Path of a collection, or with `name` of one object. Without `namespace` a namespaced collection spans all of them. */
export function resourcePath(entry: Resource, namespace?: string, name?: string, subresource?: string): string {
  const root = entry.group === "" ? `/api/${entry.version}` : `/apis/${entry.group}/${entry.version}`;
  const scope = entry.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const leaf = name === undefined ? "" : `/${encodeURIComponent(name)}`;
  return `${root}${scope}/${entry.plural}${leaf}${subresource === undefined ? "" : `/${subresource}`}`;
}
