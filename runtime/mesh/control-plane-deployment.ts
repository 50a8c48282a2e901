/** The Deployment of the control plane: one pod, two processes (DESIGN decision 4). */
import { createHash } from "node:crypto";
import type { KubeObject } from "../kube/types.ts";
import { BUNDLE_DIGESTS_ENV, BUNDLE_MOUNT, BUNDLE_SCRATCH_ENV, literalArgument } from "../model/bundle.ts";
import { CONTROLLER_SERVICE_ACCOUNT } from "../model/identity.ts";
import { MESH_CONFIG, MESH_CONFIG_FILE, type MeshConfig } from "../model/mesh-config.ts";
import { CONTROLLER_UID, controllerBundleName, IDENTITY_AUDIENCE, label, WEFT } from "../model/names.ts";
import { port } from "../model/ports.ts";
import type { Bundles } from "./bundle.ts";

export const CONTROLLER_DEPLOYMENT = "weft-controller";
/** Value of {@link label.controlPlaneComponent} on the control plane's pods. */
export const CONTROLLER_COMPONENT = "controller";
/** Restarts the pods when the configuration they mount has changed. */
const CONFIG_CHECKSUM = "weft.dev/config-checksum";

const SCRATCH = "/weft/scratch";
/** V8's heap stays below the memory limit, so that pressure is collected before it kills. */
const HEAP_MIB = 448;
const MEMORY_LIMIT = "640Mi";

interface Process {
  readonly name: "controller" | "viz";
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly adminPort: number;
  readonly requests: { readonly cpu: string; readonly memory: string };
}

const PROCESSES: readonly Process[] = [
  {
    name: "controller",
    ports: [
      { name: "identity", containerPort: port.identity },
      { name: "destination", containerPort: port.destination },
      { name: "policy", containerPort: port.policy },
      { name: "api", containerPort: port.api },
      { name: "admin", containerPort: port.controllerAdmin },
    ],
    adminPort: port.controllerAdmin,
    requests: { cpu: "50m", memory: "64Mi" },
  },
  {
    name: "viz",
    ports: [{ name: "viz-admin", containerPort: port.vizAdmin }],
    adminPort: port.vizAdmin,
    requests: { cpu: "20m", memory: "64Mi" },
  },
];

/** Labels by which Services, the Deployment and checks find the control plane's pods. */
export const controllerSelector: Readonly<Record<string, string>> = {
  [label.controlPlaneComponent]: CONTROLLER_COMPONENT,
};

export function controllerDeployment(
  config: MeshConfig,
  { controller, loader }: Pick<Bundles, "controller" | "loader">,
  replicas: number,
  labels: Readonly<Record<string, string>>,
): KubeObject {
  const podLabels = { ...labels, ...controllerSelector };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: CONTROLLER_DEPLOYMENT, namespace: config.controlPlaneNamespace, labels: podLabels },
    spec: {
      replicas,
      selector: { matchLabels: controllerSelector },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: podLabels, annotations: { [CONFIG_CHECKSUM]: checksum(config) } },
        spec: {
          serviceAccountName: CONTROLLER_SERVICE_ACCOUNT,
          nodeSelector: { "kubernetes.io/os": "linux" },
          securityContext: {
            runAsNonRoot: true,
            runAsUser: CONTROLLER_UID,
            runAsGroup: CONTROLLER_UID,
            // Group of the mounted token: the kubelet writes it for its owner only otherwise.
            fsGroup: CONTROLLER_UID,
            seccompProfile: { type: "RuntimeDefault" },
          },
          ...(replicas > 1 ? { affinity: spread } : {}),
          containers: PROCESSES.map((process) => container(process, config, controller.digests, loader)),
          volumes: [
            { name: "bundle", configMap: { name: controllerBundleName(controller.hash) } },
            { name: "config", configMap: { name: MESH_CONFIG.configMap } },
            { name: "scratch", emptyDir: {} },
            {
              name: "identity-token",
              projected: {
                sources: [
                  {
                    serviceAccountToken: {
                      audience: IDENTITY_AUDIENCE,
                      expirationSeconds: 86_400,
                      path: "linkerd-identity-token",
                    },
                  },
                ],
              },
            },
          ],
        },
      },
    },
  };
}

const spread = {
  podAntiAffinity: {
    preferredDuringSchedulingIgnoredDuringExecution: [
      {
        weight: 100,
        podAffinityTerm: {
          labelSelector: { matchLabels: controllerSelector },
          topologyKey: "kubernetes.io/hostname",
        },
      },
    ],
  },
};

function container(
  process: Process,
  config: MeshConfig,
  digests: Readonly<Record<string, string>>,
  loader: string,
): Record<string, unknown> {
  const probe = (path: string) => ({ httpGet: { path, port: process.adminPort } });
  return {
    name: process.name,
    image: config.images.node,
    imagePullPolicy: config.images.pullPolicy,
    command: ["node", `--max-old-space-size=${HEAP_MIB}`, "-e", literalArgument(loader)],
    args: [process.name],
    env: [
      { name: "WEFT_POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      { name: "WEFT_POD_NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
      { name: "WEFT_POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "WEFT_LOG_LEVEL", value: "info" },
      { name: BUNDLE_DIGESTS_ENV, value: JSON.stringify(digests) },
      { name: BUNDLE_SCRATCH_ENV, value: SCRATCH },
      // Each arena of glibc's allocator keeps what it once held.
      { name: "MALLOC_ARENA_MAX", value: "2" },
    ],
    ports: process.ports.map((entry) => ({ ...entry, protocol: "TCP" })),
    // Readiness says whether it can serve; only a process that answers nothing at all is restarted.
    startupProbe: { ...probe("/live"), periodSeconds: 1, failureThreshold: 60 },
    livenessProbe: { ...probe("/live"), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { ...probe("/ready"), periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 3 },
    resources: { requests: process.requests, limits: { memory: MEMORY_LIMIT } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: "bundle", mountPath: BUNDLE_MOUNT, readOnly: true },
      { name: "config", mountPath: MESH_CONFIG_FILE.slice(0, MESH_CONFIG_FILE.lastIndexOf("/")), readOnly: true },
      { name: "scratch", mountPath: SCRATCH },
      { name: "identity-token", mountPath: "/var/run/secrets/tokens", readOnly: true },
    ],
  };
}

function checksum(config: MeshConfig): string {
  return createHash("sha256").update(JSON.stringify(config)).digest("hex").slice(0, 16);
}

/** On every object that the installer applies. */
export function installLabels(version: string): Record<string, string> {
  return { [label.managedBy]: WEFT, [label.partOf]: WEFT, "app.kubernetes.io/version": version };
}
