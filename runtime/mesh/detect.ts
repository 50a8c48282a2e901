/** Which mesh a cluster has: ours, another one, or none. */
import { hasStatus } from "../kube/errors.ts";
import { resource } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";
import { apiServiceNames } from "../model/control-plane-rbac.ts";
import { MESH_CONFIG, type MeshConfig } from "../model/mesh-config.ts";
import { CONTROL_PLANE_NAMESPACE, label, WEFT } from "../model/names.ts";
import { STATS_GROUP, STATS_VERSION } from "../model/statistics.ts";
import { CONTROLLER_DEPLOYMENT } from "./control-plane-deployment.ts";
import { rolloutState, type Workload } from "./rollout.ts";
import type { MeshState } from "./types.ts";

/** What the user may not read where it says so. */
const UNKNOWN_VERSION = "unknown: your rights do not reach the control plane";

export interface ApiService extends KubeObject {
  spec: { readonly caBundle?: string; readonly service?: { readonly namespace?: string; readonly name?: string } };
  status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

/** Works with the rights of one namespace's viewer too, from what discovery shows to everybody. */
export async function detectMesh(client: KubeClient, namespace = CONTROL_PLANE_NAMESPACE): Promise<MeshState> {
  const [ours, other] = await Promise.all([findOurs(client, namespace), findOtherMesh(client)]);
  return ours ?? other ?? { kind: "absent" };
}

/** The configuration of the installation in `namespace`, undefined where there is none. @throws KubeError 403 */
export async function readMeshConfig(client: KubeClient, namespace: string): Promise<MeshConfig | undefined> {
  const configMap = await client.find<KubeObject & { data?: Record<string, string> }>(
    resource.configMaps,
    MESH_CONFIG.configMap,
    namespace,
  );
  const text = configMap?.data?.[MESH_CONFIG.key];
  return text === undefined ? undefined : (JSON.parse(text) as MeshConfig);
}

/** The namespace that an installation of ours is in, `wanted` first; undefined where none is to be seen. */
export async function findControlPlane(client: KubeClient, wanted: string): Promise<string | undefined> {
  const there = await allowed(() => client.find<Workload>(resource.deployments, CONTROLLER_DEPLOYMENT, wanted));
  if (there !== undefined && there !== "forbidden") return wanted;
  const labelSelector = `${label.isControlPlane}=true,${label.partOf}=${WEFT}`;
  const namespaces = await allowed(async () => (await client.list(resource.namespaces, { labelSelector })).items);
  if (namespaces === "forbidden" || namespaces === undefined) return undefined;
  return (namespaces.find(({ metadata }) => metadata.name === wanted) ?? namespaces[0])?.metadata.name;
}

async function findOurs(client: KubeClient, wanted: string): Promise<MeshState | undefined> {
  const namespace = await findControlPlane(client, wanted);
  if (namespace === undefined) return await fromDiscovery(client, wanted);
  const [config, deployment, services] = await Promise.all([
    allowed(() => readMeshConfig(client, namespace)),
    allowed(() => client.find<Workload>(resource.deployments, CONTROLLER_DEPLOYMENT, namespace)),
    allowed(() => Promise.all(apiServiceNames.map((name) => client.find<ApiService>(resource.apiServices, name)))),
  ]);
  const version = config === "forbidden" ? UNKNOWN_VERSION : (config?.version ?? "unknown");
  const found = { kind: "installed", namespace, version } as const;
  const reason = notReady(deployment, services);
  return reason === undefined ? { ...found, ready: true } : { ...found, ready: false, reason };
}

function notReady(
  deployment: Workload | "forbidden" | undefined,
  services: readonly (ApiService | undefined)[] | "forbidden" | undefined,
): string | undefined {
  if (deployment === undefined) return `Deployment ${CONTROLLER_DEPLOYMENT} is missing`;
  if (deployment !== "forbidden") {
    const { done, text } = rolloutState("Deployment", deployment);
    if (!done && (deployment.status?.availableReplicas ?? 0) === 0)
      return `Deployment ${CONTROLLER_DEPLOYMENT}: ${text}`;
  }
  if (services === "forbidden" || services === undefined) return undefined;
  for (const [index, service] of services.entries()) {
    const problem = apiServiceProblem(service);
    if (problem !== undefined) return `APIService ${apiServiceNames[index]} ${problem}`;
  }
  return undefined;
}

/** Why an APIService does not answer; undefined where it does. */
export function apiServiceProblem(service: ApiService | undefined): string | undefined {
  if (service === undefined) return "is missing";
  const available = service.status?.conditions?.find(({ type }) => type === "Available");
  if (available?.status === "True") return undefined;
  return `is not available${available === undefined ? " yet" : `: ${available.message ?? available.reason ?? ""}`}`;
}

/** What everybody may see: the API's groups, and whether ours answers. */
async function fromDiscovery(client: KubeClient, namespace: string): Promise<MeshState | undefined> {
  const { groups } = await client.json<{ groups: readonly { name: string }[] }>({ method: "GET", path: "/apis" });
  if (!groups.some(({ name }) => name === STATS_GROUP)) return undefined;
  const found = { kind: "installed", namespace, version: UNKNOWN_VERSION } as const;
  try {
    await client.json({ method: "GET", path: `/apis/${STATS_GROUP}/${STATS_VERSION}` });
    return { ...found, ready: true };
  } catch (error) {
    if (!hasStatus(error, 503, 502, 504, 404, 403)) throw error;
    return { ...found, ready: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

type OtherMesh = Extract<MeshState, { kind: "other" }>;

interface Labelled extends KubeObject {
  data?: Record<string, string>;
  spec?: { readonly template?: { readonly spec?: { readonly containers?: readonly { readonly image?: string }[] } } };
}

/** A mesh that is not ours, as far as the user may see; undefined where there is none. */
export async function findOtherMesh(client: KubeClient): Promise<OtherMesh | undefined> {
  const [linkerd, istio] = await Promise.all([findLinkerd(client), findIstio(client)]);
  return linkerd ?? istio;
}

/** Its control plane's Deployments carry its component label; Weft's pods carry the namespace label of ours. */
async function findLinkerd(client: KubeClient): Promise<OtherMesh | undefined> {
  const labelSelector = `${label.controlPlaneComponent} in (destination,identity,proxy-injector)`;
  const deployments = await allowed(
    async () => (await client.list<Labelled>(resource.deployments, { labelSelector })).items,
  );
  if (deployments === "forbidden" || deployments?.[0] === undefined) return undefined;
  const [deployment] = deployments;
  const created = deployment.metadata.annotations?.["linkerd.io/created-by"] ?? "";
  const version = /(?:edge|stable|enterprise)-\S+|\b\d+\.\d+\.\d+\S*/.exec(created)?.[0] ?? imageVersion(deployment);
  return { kind: "other", name: "Linkerd", namespace: deployment.metadata.namespace ?? "", version };
}

async function findIstio(client: KubeClient): Promise<OtherMesh | undefined> {
  const deployments = await allowed(
    async () => (await client.list<Labelled>(resource.deployments, { labelSelector: "app=istiod" })).items,
  );
  if (deployments === "forbidden" || deployments?.[0] === undefined) return undefined;
  const [deployment] = deployments;
  return {
    kind: "other",
    name: "Istio",
    namespace: deployment.metadata.namespace ?? "",
    version: deployment.metadata.labels?.["operator.istio.io/version"] ?? imageVersion(deployment),
  };
}

/** The tag of the first container's image. */
function imageVersion(deployment: Labelled): string {
  const image = deployment.spec?.template?.spec?.containers?.[0]?.image ?? "";
  return /:([^:/@]+)(?:@|$)/.exec(image)?.[1] ?? "unknown";
}

/** What may not be read is no error here: `forbidden`. */
async function allowed<T>(read: () => Promise<T>): Promise<T | "forbidden"> {
  try {
    return await read();
  } catch (error) {
    if (hasStatus(error, 403)) return "forbidden";
    throw error;
  }
}
