/** What a connection needs: loaded with the first one. Gathered here so that it is one piece. */
import { createKubeClient as createClient } from "../../runtime/kube/client.ts";
import { resolveContext as resolve } from "../../runtime/kube/contexts.ts";
import { kubeconfigTransport as transport } from "../../runtime/kube/kubeconfig-transport.ts";
import { detectMesh as detect } from "../../runtime/mesh/detect.ts";

export const createKubeClient = createClient;
export const resolveContext = resolve;
export const kubeconfigTransport = transport;
export const detectMesh = detect;
