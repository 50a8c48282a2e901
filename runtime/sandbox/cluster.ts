/** A whole sandbox cluster in this process: API server, controllers, node. */
import { ApiServer } from "./api/api-server.ts";
import { InProcessApi } from "./api/in-process.ts";
import { createPki, type Pki } from "./api/pki.ts";
import { seed } from "./api/seed.ts";
import { startApiServices } from "./controllers/api-services.ts";
import { startClusterRoles } from "./controllers/cluster-roles.ts";
import { startCustomDefinitions } from "./controllers/custom-definitions.ts";
import { startDaemonSets } from "./controllers/daemon-sets.ts";
import { startDeployments } from "./controllers/deployments.ts";
import { startEndpoints } from "./controllers/endpoints.ts";
import { startGarbageCollector } from "./controllers/garbage-collector.ts";
import { startNamespaces } from "./controllers/namespaces.ts";
import { startNodes } from "./controllers/nodes.ts";
import type { Controller } from "./controllers/queue.ts";
import { startQuotas } from "./controllers/quotas.ts";
import { startReplicaSets } from "./controllers/replica-sets.ts";
import { startScheduler } from "./controllers/scheduler.ts";
import { startStatefulSets } from "./controllers/stateful-sets.ts";
import { kubeconfig } from "./kubeconfig.ts";
import type { SandboxNode } from "./seam.ts";

export interface ClusterOptions {
  readonly node: SandboxNode;
  /** Of the API server on 127.0.0.1 and on the node's address; 0 for any free one. */
  readonly port: number;
  readonly report: (error: unknown) => void;
}

export interface Cluster {
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  /** YAML of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly pki: Pki;
  stop(): Promise<void>;
}

/** Starts everything; on failure what was started is ended again. */
export async function startCluster({ node, port, report }: ClusterOptions): Promise<Cluster> {
  const { network } = node;
  const pki = createPki([
    network.apiAddress,
    firstOf(network.serviceCidr),
    ...network.nodes.map(({ address }) => address),
  ]);
  const api = new ApiServer({ pki, serviceCidr: network.serviceCidr, node, report });
  const running: Controller[] = [];

  async function stop(): Promise<void> {
    for (const controller of running.splice(0)) controller.stop();
    await node.stop();
    await api.close();
  }

  try {
    const bound = await api.listen("127.0.0.1", port);
    if (network.apiAddress !== "127.0.0.1") await api.listen(network.apiAddress, bound);
    await seed(api, network, pki, bound);
    const context = { api: new InProcessApi(api, "kube-controller-manager", report), report };
    const collector = startGarbageCollector(api, report);
    running.push(
      collector,
      startCustomDefinitions(
        { ...context, api: new InProcessApi(api, "kube-apiserver", report) },
        api,
        collector.follow,
      ),
      startNamespaces(context, api, pki.ca),
      startClusterRoles(context),
      startApiServices({ ...context, api: new InProcessApi(api, "kube-apiserver", report) }, api.aggregation),
      startNodes({ ...context, api: new InProcessApi(api, "kubelet", report) }, network),
      startReplicaSets(context),
      startDeployments(context),
      startStatefulSets(context),
      startDaemonSets(context),
      startQuotas(context, api.store),
      startEndpoints(context),
      startScheduler({ ...context, api: new InProcessApi(api, "kube-scheduler", report) }),
    );
    await node.start(new InProcessApi(api, "kubelet", report));
    api.ready = true;
    const server = `https://127.0.0.1:${bound}`;
    return { server, kubeconfig: kubeconfig(server, pki), pki, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The first address of a range: Service kubernetes. */
function firstOf(cidr: string): string {
  const parts = (cidr.split("/")[0] ?? "").split(".").map(Number);
  return [...parts.slice(0, 3), (parts[3] ?? 0) + 1].join(".");
}
