/** What a cluster holds before anybody writes to it. */
import { resource } from "../../kube/resources.ts";
import type { KubeObject } from "../../kube/types.ts";
import type { NodeNetwork } from "../seam.ts";
import { user } from "./access.ts";
import type { ApiServer } from "./api-server.ts";
import { defaultRoles, EXTENSION_AUTHENTICATION } from "./default-roles.ts";
import { FRONT_PROXY_NAME, type Pki } from "./pki.ts";

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** @param port where pods reach the API server at `network.apiAddress` */
export async function seed(server: ApiServer, network: NodeNetwork, pki: Pki, port: number): Promise<void> {
  for (const name of NAMESPACES) await make(server, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  for (const object of [...defaultRoles(), extensionAuthentication(pki), ...kubernetesService(server, network, port)]) {
    await make(server, object);
  }
  const versions = server.discovery.versions().filter(({ group }) => group !== "");
  for (const { group, version } of [{ group: "", version: "v1" }, ...versions]) {
    await make(server, {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: `${version}.${group}`, labels: { "kube-aggregator.kubernetes.io/automanaged": "onstart" } },
      spec: { ...(group === "" ? {} : { group }), version, groupPriorityMinimum: 18_000, versionPriority: 1 },
    });
  }
}

async function make(server: ApiServer, object: KubeObject): Promise<void> {
  const kind = server.registry.byKind(object.apiVersion, object.kind);
  if (kind === undefined) throw new Error(`the sandbox serves no ${object.kind}`);
  await server.operations.create({ kind, namespace: object.metadata.namespace }, object, {
    user: user("system:apiserver", ["system:masters"]),
    manager: "kube-apiserver",
    dryRun: false,
    fieldValidation: "Strict",
    warnings: [],
  });
}

/** Aggregated API servers learn here whom to believe about a request's user. */
function extensionAuthentication(pki: Pki): KubeObject {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: EXTENSION_AUTHENTICATION, namespace: "kube-system" },
    data: {
      "client-ca-file": pki.ca,
      "requestheader-allowed-names": JSON.stringify([FRONT_PROXY_NAME]),
      "requestheader-client-ca-file": pki.frontProxyCa,
      "requestheader-extra-headers-prefix": JSON.stringify(["X-Remote-Extra-"]),
      "requestheader-group-headers": JSON.stringify(["X-Remote-Group"]),
      "requestheader-username-headers": JSON.stringify(["X-Remote-User"]),
    },
  };
}

/** `kubernetes.default.svc`: how pods find this server. */
function kubernetesService(server: ApiServer, network: NodeNetwork, port: number): KubeObject[] {
  const metadata = { name: "kubernetes", namespace: "default" };
  const labels = { component: "apiserver", provider: "kubernetes" };
  return [
    {
      apiVersion: "v1",
      kind: resource.services.kind,
      metadata: { ...metadata, labels },
      spec: {
        clusterIP: server.allocator.firstAddress,
        ports: [{ name: "https", port: 443, targetPort: port, protocol: "TCP" }],
      },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: resource.endpointSlices.kind,
      metadata: { ...metadata, labels: { "kubernetes.io/service-name": "kubernetes" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [network.apiAddress], conditions: { ready: true } }],
      ports: [{ name: "https", port, protocol: "TCP" }],
    },
    {
      apiVersion: "v1",
      kind: resource.endpoints.kind,
      metadata: { ...metadata, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
      subsets: [{ addresses: [{ ip: network.apiAddress }], ports: [{ name: "https", port, protocol: "TCP" }] }],
    },
  ];
}
