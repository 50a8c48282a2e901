/** The kubeconfig as the settings name it: read, never written. */
import type { Kubeconfig, KubeconfigOptions } from "../../runtime/kube/kubeconfig.ts";
import { readConfig } from "../config.ts";

function options(): KubeconfigOptions {
  const path = readConfig().kubeconfig;
  return path === undefined ? {} : { path };
}

/** @throws KubeconfigError */
export async function readKubeconfig(): Promise<Kubeconfig> {
  const { loadKubeconfig } = await import("../../runtime/kube/kubeconfig.ts");
  return await loadKubeconfig(options());
}

/** The files that count, whether they are there or not. */
export async function configuredFiles(): Promise<string[]> {
  const { kubeconfigFiles } = await import("../../runtime/kube/kubeconfig.ts");
  return kubeconfigFiles(options());
}
