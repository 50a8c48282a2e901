/** What must be in a namespace before a meshed pod can start there: the proxy's bundle and the trust anchors. */
import { hasStatus } from "../../kube/errors.ts";
import { resource, resourcePath } from "../../kube/resources.ts";
import type { KubeClient, KubeObject } from "../../kube/types.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { CONTROLLER_FIELD_MANAGER, proxyBundleName, TRUST_ROOTS } from "../../model/names.ts";
import type { Log } from "../config/log.ts";
import { trustRootsConfigMap } from "../pki/keeper.ts";
import type { ConfigMap } from "../pki/live-pki.ts";
import { belongsTo } from "../pki/tls-secret.ts";
import { BundleError, bundleCopy, readBundle, verifyBundle } from "./bundle-source.ts";

/** A burst of pods in one namespace asks the API server once in this time. */
const KNOWN_FOR_MS = 10_000;
const METADATA_ONLY = { accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1" };

export class NamespaceFiles {
  readonly #client: KubeClient;
  readonly #mesh: MeshConfig;
  readonly #trustBundle: () => string | undefined;
  readonly #log: Log;
  /** By namespace and its uid: one that was deleted and made again is empty. */
  readonly #known = new Map<string, { readonly at: number; readonly done: Promise<void> }>();
  /** uids of copies whose content was checked. They are immutable. */
  readonly #verified = new Set<string>();

  constructor(client: KubeClient, mesh: MeshConfig, trustBundle: () => string | undefined, log: Log) {
    this.#client = client;
    this.#mesh = mesh;
    this.#trustBundle = trustBundle;
    this.#log = log;
  }

  /**
   * Resolves when both ConfigMaps are there.
   * @param uid of the namespace; undefined where it is not known
   * @throws BundleError, KubeError, KubeConnectionError
   */
  async ensure(namespace: string, uid: string | undefined): Promise<void> {
    const key = `${namespace}/${uid}`;
    const now = performance.now();
    const known = this.#known.get(key);
    if (known !== undefined && now - known.at < KNOWN_FOR_MS) return await known.done;
    for (const [other, { at }] of this.#known) if (now - at >= KNOWN_FOR_MS) this.#known.delete(other);
    const done = this.#make(namespace);
    if (uid !== undefined) this.#known.set(key, { at: now, done });
    try {
      await done;
    } catch (error) {
      this.#known.delete(key);
      throw error;
    }
  }

  async #make(namespace: string): Promise<void> {
    await Promise.all([this.#bundle(namespace), this.#trustRoots(namespace)]);
  }

  async #bundle(namespace: string): Promise<void> {
    const name = proxyBundleName(this.#mesh.proxy.hash);
    const uid = await this.#uidOf(name, namespace);
    if (uid === undefined) {
      const original = await readBundle(this.#client, this.#mesh);
      try {
        await this.#client.create<ConfigMap>(resource.configMaps, bundleCopy(original, namespace, this.#mesh), {
          fieldManager: CONTROLLER_FIELD_MANAGER,
        });
        this.#log.info("proxy bundle created", { namespace, configMap: name });
        return;
      } catch (error) {
        // Another replica was faster; what it made is checked like anything found.
        if (!hasStatus(error, 409)) throw error;
      }
    } else if (this.#verified.has(uid)) {
      return;
    }
    const found = await this.#client.get<ConfigMap>(resource.configMaps, name, namespace);
    this.#check(found);
    this.#verified.add(found.metadata.uid ?? "");
  }

  #check(found: ConfigMap): void {
    try {
      verifyBundle(found, this.#mesh);
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      throw new BundleError(`${error.message}: delete it, the next pod gets a good one`);
    }
  }

  async #uidOf(name: string, namespace: string): Promise<string | undefined> {
    try {
      const { metadata } = await this.#client.json<KubeObject>({
        method: "GET",
        path: resourcePath(resource.configMaps, namespace, name),
        headers: METADATA_ONLY,
      });
      return metadata.uid;
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  async #trustRoots(namespace: string): Promise<void> {
    const pem = this.#trustBundle();
    if (pem === undefined) throw new BundleError("the mesh has no trust anchors yet");
    await writeTrustRoots(this.#client, namespace, this.#mesh, pem);
  }
}

/**
 * Given anchors (a ConfigMap of that name that the controller did not make, e.g. trust-manager's) stay.
 * @returns whether something was written
 */
export async function writeTrustRoots(
  client: KubeClient,
  namespace: string,
  mesh: MeshConfig,
  pem: string,
): Promise<boolean> {
  const found = await client.find<ConfigMap>(resource.configMaps, TRUST_ROOTS.configMap, namespace);
  if (found !== undefined && (!belongsTo(found, mesh.controlPlaneNamespace) || found.data?.[TRUST_ROOTS.key] === pem))
    return false;
  await client.apply<ConfigMap>(resource.configMaps, trustRootsConfigMap(namespace, mesh, pem), {
    fieldManager: CONTROLLER_FIELD_MANAGER,
    force: true,
  });
  return true;
}
