/** Every object of the control plane that the installer applies. What the controller makes itself is in {@link inClusterObjects}. */
import type { KubeObject } from "../kube/types.ts";
import type { Bundle } from "../model/bundle.ts";
import {
  apiServiceNames,
  CONTROLLER_LEASE,
  clusterRules,
  controlSecret,
  EXTENSION_AUTHENTICATION_READER,
  INJECTOR_WEBHOOK,
  namespaceRules,
} from "../model/control-plane-rbac.ts";
import { CONTROLLER_SERVICE_ACCOUNT, controlService } from "../model/identity.ts";
import { MESH_CONFIG, type MeshConfig } from "../model/mesh-config.ts";
import { annotation, controllerBundleName, label, proxyBundleName, TRUST_ROOTS } from "../model/names.ts";
import { port } from "../model/ports.ts";
import { userRoles } from "../model/user-roles.ts";
import type { Bundles } from "./bundle.ts";
import {
  CONTROLLER_DEPLOYMENT,
  controllerDeployment,
  controllerSelector,
  installLabels,
} from "./control-plane-deployment.ts";
import type { PlannedObject } from "./types.ts";

const RBAC = "rbac.authorization.k8s.io/v1";

/** Namespaces whose pods never meet the webhook (reference 3.2): the cluster's own must start when the mesh is down. */
const NEVER_INJECTED = ["kube-system", "cert-manager"];

/** @param proxyHashes of the proxy bundles that the control-plane namespace already holds */
export function controlPlaneObjects(
  config: MeshConfig,
  bundles: Bundles,
  options: { readonly replicas: number; readonly proxyHashes: readonly string[] },
): KubeObject[] {
  const labels = installLabels(config.version);
  const namespace = config.controlPlaneNamespace;
  const hashes = [...new Set([bundles.proxy.hash, ...options.proxyHashes])].sort();
  const within = (name: string) => ({ name, namespace, labels });
  return [
    namespaceObject(namespace, labels),
    { apiVersion: "v1", kind: "ServiceAccount", metadata: within(CONTROLLER_SERVICE_ACCOUNT) },
    ...rbac(namespace, labels, hashes),
    configMap(within(MESH_CONFIG.configMap), { data: { [MESH_CONFIG.key]: JSON.stringify(config, null, 2) } }),
    bundleConfigMap(within(controllerBundleName(bundles.controller.hash)), bundles.controller),
    bundleConfigMap(within(proxyBundleName(bundles.proxy.hash)), bundles.proxy),
    ...services(namespace, labels),
    ...(options.replicas > 1 ? [disruptionBudget(within(CONTROLLER_DEPLOYMENT))] : []),
    controllerDeployment(config, bundles, options.replicas, labels),
    webhook(namespace, labels),
    ...apiServiceNames.map((name) => apiService(name, namespace, labels)),
  ];
}

/** What the controller makes at its first start, or takes as given (DESIGN decision 5). */
export function inClusterObjects(namespace: string): PlannedObject[] {
  const secret = (name: string, detail: string): PlannedObject => made("v1", "Secret", name, detail, namespace);
  return [
    secret(controlSecret.trustAnchor, "trust anchor of the mesh's identities; its key never leaves the cluster"),
    secret(controlSecret.issuer, "signs the proxies' certificates"),
    made("v1", "ConfigMap", TRUST_ROOTS.configMap, "what proxies trust; copied into every meshed namespace", namespace),
    secret(controlSecret.injectorTls, "certificate of the injector's webhook"),
    secret(controlSecret.vizTls, "certificate of the aggregated APIs"),
    made("coordination.k8s.io/v1", "Lease", CONTROLLER_LEASE, "which replica writes and scrapes", namespace),
  ];
}

function made(apiVersion: string, kind: string, name: string, detail: string, namespace: string): PlannedObject {
  return { apiVersion, kind, name, namespace, action: "in-cluster", detail };
}

function namespaceObject(name: string, labels: Record<string, string>): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name,
      labels: {
        ...labels,
        [label.isControlPlane]: "true",
        [label.admissionWebhooks]: "disabled",
        // The control plane asks for nothing that this forbids.
        "pod-security.kubernetes.io/enforce": "restricted",
      },
      annotations: { [annotation.inject]: "disabled" },
    },
  };
}

function rbac(namespace: string, labels: Record<string, string>, hashes: readonly string[]): KubeObject[] {
  const name = CONTROLLER_SERVICE_ACCOUNT;
  const subjects = [{ kind: "ServiceAccount", name, namespace }];
  const roleRef = (kind: string, role: string) => ({ apiGroup: "rbac.authorization.k8s.io", kind, name: role });
  return [
    { apiVersion: RBAC, kind: "ClusterRole", metadata: { name, labels }, rules: clusterRules(hashes) },
    {
      apiVersion: RBAC,
      kind: "ClusterRoleBinding",
      metadata: { name, labels },
      roleRef: roleRef("ClusterRole", name),
      subjects,
    },
    { apiVersion: RBAC, kind: "Role", metadata: { name, namespace, labels }, rules: namespaceRules() },
    {
      apiVersion: RBAC,
      kind: "RoleBinding",
      metadata: { name, namespace, labels },
      roleRef: roleRef("Role", name),
      subjects,
    },
    {
      apiVersion: RBAC,
      kind: "RoleBinding",
      metadata: { name, namespace: EXTENSION_AUTHENTICATION_READER.namespace, labels },
      roleRef: roleRef("Role", EXTENSION_AUTHENTICATION_READER.role),
      subjects,
    },
    ...userRoles().map(
      (role): KubeObject => ({
        apiVersion: RBAC,
        kind: "ClusterRole",
        metadata: { name: role.name, labels: { ...labels, ...role.labels } },
        rules: role.rules,
      }),
    ),
  ];
}

function configMap(metadata: KubeObject["metadata"], fields: Record<string, unknown>): KubeObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata, ...fields };
}

function bundleConfigMap(metadata: KubeObject["metadata"], bundle: Bundle): KubeObject {
  const binaryData = Object.fromEntries(
    [...bundle.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]),
  );
  return configMap(metadata, { immutable: true, binaryData });
}

function services(namespace: string, labels: Record<string, string>): KubeObject[] {
  const ports: Readonly<Record<keyof typeof controlService, { port: number; targetPort: number; name: string }>> = {
    identity: { name: "grpc", port: port.identity, targetPort: port.identity },
    destination: { name: "grpc", port: port.destination, targetPort: port.destination },
    policy: { name: "grpc", port: port.policy, targetPort: port.policy },
    injector: { name: "https", port: 443, targetPort: port.api },
    viz: { name: "https", port: 443, targetPort: port.api },
  };
  return Object.entries(controlService).map(([key, name]) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, labels },
    spec: {
      type: "ClusterIP",
      selector: controllerSelector,
      ports: [{ ...ports[key as keyof typeof controlService], protocol: "TCP" }],
    },
  }));
}

function disruptionBudget(metadata: KubeObject["metadata"]): KubeObject {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata,
    spec: { maxUnavailable: 1, selector: { matchLabels: controllerSelector } },
  };
}

/** Without caBundle: that field is the controller's, under its own field manager. */
function webhook(namespace: string, labels: Record<string, string>): KubeObject {
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name: INJECTOR_WEBHOOK.configuration, labels },
    webhooks: [
      {
        name: INJECTOR_WEBHOOK.webhook,
        admissionReviewVersions: ["v1"],
        // Bundle and trust roots are put into the namespace, except in a dry run.
        sideEffects: "NoneOnDryRun",
        failurePolicy: "Ignore",
        timeoutSeconds: 10,
        reinvocationPolicy: "Never",
        clientConfig: { service: { namespace, name: controlService.injector, path: "/", port: 443 } },
        rules: [
          { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], scope: "Namespaced" },
        ],
        namespaceSelector: {
          matchExpressions: [
            { key: label.admissionWebhooks, operator: "NotIn", values: ["disabled"] },
            { key: "kubernetes.io/metadata.name", operator: "NotIn", values: [...NEVER_INJECTED, namespace] },
          ],
        },
        objectSelector: {
          matchExpressions: [
            { key: label.controlPlaneComponent, operator: "DoesNotExist" },
            { key: "linkerd.io/cni-resource", operator: "DoesNotExist" },
          ],
        },
      },
    ],
  };
}

function apiService(name: string, namespace: string, labels: Record<string, string>): KubeObject {
  const [version = "", ...group] = name.split(".");
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name, labels },
    spec: {
      group: group.join("."),
      version,
      groupPriorityMinimum: 1000,
      versionPriority: 100,
      service: { namespace, name: controlService.viz, port: 443 },
    },
  };
}
