/** What must be true of a cluster before an install is planned on it. */

import { hasStatus } from "../kube/errors.ts";
import { resource } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";
import { type Bundle, bundleAddon } from "../model/bundle.ts";
import { apiServiceNames } from "../model/control-plane-rbac.ts";
import { type ApiService, detectMesh } from "./detect.ts";
import { MeshError } from "./errors.ts";
import { OLDEST_KUBERNETES, serverVersion } from "./server-version.ts";

/** @throws MeshError where the cluster is too old */
export async function requireKubernetes(client: KubeClient): Promise<void> {
  const { major, minor, text } = await serverVersion(client);
  const old = major < OLDEST_KUBERNETES.major || (major === OLDEST_KUBERNETES.major && minor < OLDEST_KUBERNETES.minor);
  if (!old) return;
  throw new MeshError(
    `this cluster runs Kubernetes ${text}; Weft needs ${OLDEST_KUBERNETES.major}.${OLDEST_KUBERNETES.minor} or newer (native sidecars)`,
    "Upgrade the cluster, or choose another one.",
  );
}

interface NodeObject extends KubeObject {
  status?: { readonly nodeInfo?: { readonly architecture?: string; readonly operatingSystem?: string } };
}

/** Processors as Kubernetes names them (Go's GOARCH), and as Node does. */
const PROCESSORS: Readonly<Record<string, string>> = { amd64: "x64", arm64: "arm64" };

/**
 * A proxy runs only where its bundle has an addon for the node's processor: on any other node a meshed pod would not start.
 * @throws MeshError naming the nodes that the bundle was not built for
 */
export async function requireProcessors(client: KubeClient, proxy: Bundle): Promise<void> {
  const nodes = await client.list<NodeObject>(resource.nodes).catch((error: unknown) => {
    // Who may not list nodes is not kept from installing; the proxy itself says it too.
    if (hasStatus(error, 403)) return { items: [] };
    throw error;
  });
  const foreign = nodes.items.filter(({ status }) => {
    const { architecture, operatingSystem } = status?.nodeInfo ?? {};
    if (!architecture || operatingSystem === "windows") return false;
    return !proxy.files.has(bundleAddon(PROCESSORS[architecture] ?? architecture));
  });
  const [first] = foreign;
  if (first === undefined) return;
  const others = foreign.length === 1 ? "" : ` and ${foreign.length - 1} more`;
  const processor = first.status?.nodeInfo?.architecture;
  throw new MeshError(
    `node ${first.metadata.name}${others} runs on ${processor}, and this build of Weft carries no proxy for that: meshed pods would not start there`,
    processor === "arm64"
      ? "Install gcc-aarch64-linux-gnu (amd64's is gcc-x86-64-linux-gnu), then npm run build and try again."
      : `Weft runs on ${Object.keys(PROCESSORS).join(" and ")}: choose another cluster.`,
  );
}

/** @throws MeshError where another mesh runs, or ours in another namespace */
export async function refuseBesideOthers(client: KubeClient, namespace: string): Promise<void> {
  const state = await detectMesh(client, namespace);
  if (state.kind === "other") {
    throw new MeshError(
      `${state.name} ${state.version} runs in namespace ${state.namespace}: two meshes would redirect the same traffic`,
      `Remove ${state.name} first, or choose another cluster.`,
    );
  }
  if (state.kind === "installed" && state.namespace !== namespace) {
    throw new MeshError(
      `Weft ${state.version} is installed in namespace ${state.namespace} already`,
      `Update it there (--weft-namespace ${state.namespace}), or uninstall it first.`,
    );
  }
}

interface NamespaceObject extends KubeObject {
  status?: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly status: string; readonly message?: string }[];
  };
}

/** @throws MeshError where it is on its way out */
export async function namespaceIsMissing(client: KubeClient, name: string): Promise<boolean> {
  const namespace = await client.find<NamespaceObject>(resource.namespaces, name);
  if (namespace?.status?.phase !== "Terminating") return namespace === undefined;
  const hanging = namespace.status.conditions?.filter(({ status }) => status === "True").map(({ message }) => message);
  throw new MeshError(
    `namespace ${name} is still being deleted${hanging?.length ? `: ${hanging.join(" ")}` : ""}`,
    "Wait until it is gone, then install again; weft uninstall names what hangs.",
  );
}

/**
 * An aggregated API has one owner in a cluster.
 * @throws MeshError where somebody else serves what the mesh would
 */
export async function refuseForeignApis(client: KubeClient, namespace: string): Promise<void> {
  for (const name of apiServiceNames) {
    const found = await client.find<ApiService>(resource.apiServices, name);
    const service = found?.spec.service;
    if (service?.namespace === undefined || service.namespace === namespace) continue;
    throw new MeshError(
      `APIService ${name} belongs to Service ${service.namespace}/${service.name} already`,
      `Remove what serves it (Linkerd's viz extension?), then kubectl delete apiservice ${name}.`,
    );
  }
}
