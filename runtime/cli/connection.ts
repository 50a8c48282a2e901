/** The cluster a command works on. */
import { createKubeClient } from "../kube/client.ts";
import { resolveContext } from "../kube/contexts.ts";
import { loadKubeconfig } from "../kube/kubeconfig.ts";
import { kubeconfigTransport } from "../kube/kubeconfig-transport.ts";
import type { KubeClient } from "../kube/types.ts";
import { CONTROL_PLANE_NAMESPACE } from "../model/names.ts";
import type { Flags } from "./flags.ts";

export interface Connection {
  readonly client: KubeClient;
  readonly context: string;
  readonly server: string;
  /** The context's own. */
  readonly namespace: string;
  readonly controlPlaneNamespace: string;
  close(): void;
}

/** @throws KubeconfigError, ContextError */
export async function connect(flags: Flags): Promise<Connection> {
  const path = flags.text("kubeconfig");
  const kubeconfig = await loadKubeconfig(path === undefined ? {} : { path });
  const context = resolveContext(kubeconfig, flags.text("context"));
  const transport = kubeconfigTransport(context);
  return {
    client: createKubeClient(transport),
    context: context.name,
    server: transport.server,
    namespace: context.namespace,
    controlPlaneNamespace: flags.text("weft-namespace") ?? process.env["WEFT_NAMESPACE"] ?? CONTROL_PLANE_NAMESPACE,
    close: () => transport.close(),
  };
}
