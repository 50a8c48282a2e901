/** Which images tests install with, on a cluster that may reach no registry. */
import { createKubeClient } from "../../runtime/kube/client.ts";
import { resolveContext } from "../../runtime/kube/contexts.ts";
import { loadKubeconfig } from "../../runtime/kube/kubeconfig.ts";
import { kubeconfigTransport } from "../../runtime/kube/kubeconfig-transport.ts";
import { resource } from "../../runtime/kube/resources.ts";
import type { KubeObject } from "../../runtime/kube/types.ts";
import { DEFAULT_INIT_IMAGE, DEFAULT_NODE_IMAGE } from "../../runtime/mesh/images.ts";

/** An image that a cluster without a registry was given. */
const LOCAL_INIT_IMAGE = "localhost/iptables:1";

interface NodeWithImages extends KubeObject {
  status?: { readonly images?: readonly { readonly names?: readonly string[] }[] };
}

/** `WEFT_TEST_NODE_IMAGE` and `WEFT_TEST_INIT_IMAGE`: as they are set, else what the nodes hold, else Weft's defaults. */
export async function testImages(env: NodeJS.ProcessEnv = process.env): Promise<Record<string, string>> {
  const init = env["WEFT_TEST_INIT_IMAGE"];
  return {
    WEFT_TEST_NODE_IMAGE: env["WEFT_TEST_NODE_IMAGE"] ?? DEFAULT_NODE_IMAGE,
    WEFT_TEST_INIT_IMAGE: init ?? ((await onAllNodes(LOCAL_INIT_IMAGE, env)) ? LOCAL_INIT_IMAGE : DEFAULT_INIT_IMAGE),
  };
}

async function onAllNodes(image: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  const transport = kubeconfigTransport(resolveContext(await loadKubeconfig({ env })));
  try {
    const { items } = await createKubeClient(transport).list<NodeWithImages>(resource.nodes);
    return items.every(({ status }) => (status?.images ?? []).some(({ names = [] }) => names.includes(image)));
  } finally {
    transport.close();
  }
}
