/**
 * Keeps the trust anchors of every meshed namespace up to date, and removes what no pod refers to any more. Only the
 * Lease's holder runs it; the injector itself makes what a namespace's first pod needs.
 */
import { hasStatus } from "../../kube/errors.ts";
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject } from "../../kube/types.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { annotation, label, proxyBundleName, TRUST_ROOTS, volume } from "../../model/names.ts";
import type { Log } from "../config/log.ts";
import type { ClusterState } from "../destination/cluster-state.ts";
import type { ConfigMap } from "../pki/live-pki.ts";
import { belongsTo } from "../pki/tls-secret.ts";
import { writeTrustRoots } from "./namespace-files.ts";

/** A copy this young may have been made for a pod that is not in any list yet. */
const MIN_AGE_MS = 600_000;
const BUNDLE_PREFIX = proxyBundleName("");

interface MeshedPod extends KubeObject {
  readonly spec: {
    readonly volumes?: readonly { readonly name: string; readonly configMap?: { readonly name?: string } }[];
  };
}

export class NamespaceKeeper {
  readonly #client: KubeClient;
  readonly #mesh: MeshConfig;
  readonly #state: ClusterState;
  readonly #trustBundle: () => string | undefined;
  readonly #log: Log;
  readonly #minAgeMs: number;

  constructor(
    client: KubeClient,
    mesh: MeshConfig,
    state: ClusterState,
    trustBundle: () => string | undefined,
    log: Log,
    minAgeMs: number = MIN_AGE_MS,
  ) {
    this.#client = client;
    this.#mesh = mesh;
    this.#state = state;
    this.#trustBundle = trustBundle;
    this.#log = log;
    this.#minAgeMs = minAgeMs;
  }

  /** Writes the current anchors into every namespace that has meshed pods. */
  async distributeTrust(): Promise<void> {
    const pem = this.#trustBundle();
    if (pem === undefined) return;
    for (const namespace of this.#meshedNamespaces()) {
      try {
        const written = await writeTrustRoots(this.#client, namespace, this.#mesh, pem);
        if (written) this.#log.info("trust bundle written", { namespace });
      } catch (error) {
        // A namespace that is being deleted takes nothing new (403) or is gone (404).
        if (!hasStatus(error, 403, 404)) throw error;
      }
    }
  }

  /** Removes bundles and trust anchors that no pod refers to, and bundles of older versions with them. */
  async removeUnused(): Promise<void> {
    const { controlPlaneNamespace } = this.#mesh;
    const { items: originals } = await this.#client.list<ConfigMap>(resource.configMaps, {
      namespace: controlPlaneNamespace,
    });
    const names = originals.map(({ metadata }) => metadata.name).filter((name) => name.startsWith(BUNDLE_PREFIX));
    for (const name of names) await this.#removeCopies(name);
    await this.#removeCopies(TRUST_ROOTS.configMap);
  }

  async #removeCopies(name: string): Promise<void> {
    const { controlPlaneNamespace, proxy } = this.#mesh;
    const { items } = await this.#client.list<ConfigMap>(resource.configMaps, {
      fieldSelector: `metadata.name=${name}`,
    });
    let kept = 0;
    for (const copy of items) {
      const { namespace = "" } = copy.metadata;
      if (namespace === controlPlaneNamespace) continue;
      if (!belongsTo(copy, controlPlaneNamespace) || !this.#isOld(copy) || (await this.#isUsed(namespace, name))) {
        kept++;
        continue;
      }
      await this.#delete(copy);
    }
    const current = name === proxyBundleName(proxy.hash) || name === TRUST_ROOTS.configMap;
    const original = items.find(({ metadata }) => metadata.namespace === controlPlaneNamespace);
    // The control plane's own copy of an older bundle goes last, after a roll-back could no longer want it.
    if (kept === 0 && !current && original !== undefined && this.#isOld(original)) await this.#delete(original);
  }

  async #delete(object: ConfigMap): Promise<void> {
    const { name, namespace, uid } = object.metadata;
    await this.#client.delete(resource.configMaps, name, namespace, uid === undefined ? {} : { uid });
    this.#log.info("removed: no pod refers to it", { configMap: name, namespace });
  }

  #isOld({ metadata }: ConfigMap): boolean {
    return Date.now() - Date.parse(metadata.creationTimestamp ?? "") > this.#minAgeMs;
  }

  /** Asked of the API server itself: a store may lag behind. */
  async #isUsed(namespace: string, name: string): Promise<boolean> {
    const inject = this.#state.namespace(namespace)?.metadata.annotations?.[annotation.inject];
    const current = name === TRUST_ROOTS.configMap || name === proxyBundleName(this.#mesh.proxy.hash);
    if (current && (inject === "enabled" || inject === "ingress")) return true;
    const { items } = await this.#client.list<MeshedPod>(resource.pods, {
      namespace,
      labelSelector: `${label.controlPlaneNamespace}=${this.#mesh.controlPlaneNamespace}`,
    });
    if (name === TRUST_ROOTS.configMap) return items.length > 0;
    return items.some(({ spec }) =>
      spec.volumes?.some((entry) => entry.name === volume.bundle && entry.configMap?.name === name),
    );
  }

  #meshedNamespaces(): Set<string> {
    const namespaces = new Set<string>();
    for (const pod of this.#state.pods()) {
      const { labels, namespace = "" } = pod.metadata;
      if (labels?.[label.controlPlaneNamespace] === this.#mesh.controlPlaneNamespace) namespaces.add(namespace);
    }
    return namespaces;
  }
}
