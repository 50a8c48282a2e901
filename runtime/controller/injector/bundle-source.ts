/** The proxy's bundle as the installer put it into the control-plane namespace, and copies of it. */
import { createHash } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeClient } from "../../kube/types.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { proxyBundleName } from "../../model/names.ts";
import type { ConfigMap } from "../pki/live-pki.ts";
import { ownMetadata } from "../pki/tls-secret.ts";

/** A bundle that is missing, or is not the one this mesh was installed with. */
export class BundleError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "BundleError";
  }
}

/** @throws BundleError naming the first file that differs from what the mesh was installed with */
export function verifyBundle(found: ConfigMap, mesh: MeshConfig): void {
  const where = `ConfigMap ${found.metadata.namespace}/${found.metadata.name}`;
  for (const [file, digest] of Object.entries(mesh.proxy.digests)) {
    const data = found.binaryData?.[file];
    const actual =
      data === undefined ? undefined : createHash("sha256").update(Buffer.from(data, "base64")).digest("hex");
    if (actual === digest) continue;
    throw new BundleError(
      actual === undefined
        ? `${where} lacks ${file}`
        : `${where}: ${file} is not the one this mesh was installed with (SHA-256 ${actual}, not ${digest})`,
    );
  }
}

/**
 * The verified original.
 * @throws BundleError, KubeError, KubeConnectionError
 */
export async function readBundle(client: KubeClient, mesh: MeshConfig): Promise<ConfigMap> {
  const name = proxyBundleName(mesh.proxy.hash);
  const found = await client.find<ConfigMap>(resource.configMaps, name, mesh.controlPlaneNamespace);
  if (found === undefined) {
    throw new BundleError(`ConfigMap ${mesh.controlPlaneNamespace}/${name} is missing: install the mesh again`);
  }
  verifyBundle(found, mesh);
  return found;
}

export function bundleCopy(original: ConfigMap, namespace: string, mesh: MeshConfig): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: original.metadata.name,
      namespace,
      ...ownMetadata(mesh.controlPlaneNamespace, mesh.version),
    },
    immutable: true,
    binaryData: original.binaryData ?? {},
  };
}
