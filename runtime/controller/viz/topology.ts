/** What runs where: pods, workloads, services and the pods and ports behind them. Live, for statistics and tap. */
import { startInformer } from "../../kube/informer.ts";
import { resource } from "../../kube/resources.ts";
import type { Informer, KubeClient, KubeObject, Resource } from "../../kube/types.ts";
import type { Stat } from "../../model/statistics.ts";
import type { Log } from "../config/log.ts";
import { type EndpointSlice, Membership, viewEndpointSlice } from "./membership.ts";
import { isLive, keyOf, type PodView, podKey, viewPod } from "./pod-view.ts";

export type ListedKind = Exclude<Stat["kind"], "Pod">;

const LISTED: Readonly<Record<ListedKind, Resource>> = {
  Service: resource.services,
  Deployment: resource.deployments,
  StatefulSet: resource.statefulSets,
  DaemonSet: resource.daemonSets,
};

/** Changes of a rollout come in bursts. */
const SETTLE_MS = 100;

/** One pod behind a resource, and the ports that count. */
export interface Member {
  readonly key: string;
  /** Absent where the pod is gone and only its figures are left. */
  readonly pod: PodView | undefined;
  /** undefined: all. */
  readonly ports: ReadonlySet<string> | undefined;
}

export class Topology {
  readonly pods: Informer<PodView>;
  readonly namespaces: Informer<KubeObject>;
  readonly membership: Membership;

  readonly #slices: Informer<EndpointSlice>;
  readonly #listed: Readonly<Record<ListedKind, Informer<KubeObject>>>;
  readonly #byIp = new Map<string, PodView>();
  /** `<kind>/<namespace>/<name>` of the workload → keys of its pods. */
  readonly #byWorkload = new Map<string, Set<string>>();
  readonly #listeners = new Set<() => void>();
  #settling: NodeJS.Timeout | undefined;

  constructor(client: KubeClient, log: Log) {
    const start = <T extends KubeObject>(kind: Resource, project: (object: KubeObject) => T): Informer<T> =>
      startInformer<T>(client, kind, {
        project,
        onError: (error) => log.warn(`${kind.plural} cannot be watched`, { reason: error.message }),
      });
    this.pods = start(resource.pods, viewPod);
    this.pods.subscribe(({ type, object, previous }) => {
      if (previous !== undefined) this.#unindex(previous);
      if (type !== "deleted") this.#index(object);
      this.#changed();
    });
    this.namespaces = start(resource.namespaces, bare);
    this.#slices = start(resource.endpointSlices, viewEndpointSlice);
    this.membership = new Membership({ podByIp: (ip) => this.#byIp.get(ip), isRunning: (key) => this.isRunning(key) });
    this.#slices.subscribe(({ type, object }) => {
      if (type === "deleted") this.membership.remove(object);
      else this.membership.put(object);
      this.#changed();
    });
    this.#listed = {
      Service: start(LISTED.Service, bare),
      Deployment: start(LISTED.Deployment, bare),
      StatefulSet: start(LISTED.StatefulSet, bare),
      DaemonSet: start(LISTED.DaemonSet, bare),
    };
  }

  /** Resolves after the first lists of everything. */
  async synced(): Promise<void> {
    await Promise.all(this.#informers().map((informer) => informer.synced));
  }

  stop(): void {
    clearTimeout(this.#settling);
    this.#listeners.clear();
    for (const informer of this.#informers()) informer.stop();
  }

  /** Called soon after pods or endpoints have changed, once for all changes of a moment. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Is the pod there, and neither ended nor about to? */
  isRunning(key: string): boolean {
    const pod = this.pods.store.get(key);
    return pod !== undefined && isLive(pod);
  }

  podByIp(ip: string): PodView | undefined {
    return this.#byIp.get(ip);
  }

  /** Names in order of namespace and name. */
  names(kind: Stat["kind"], namespace: string | undefined): { readonly namespace: string; readonly name: string }[] {
    const store: ReadonlyMap<string, KubeObject> = kind === "Pod" ? this.pods.store : this.#listed[kind].store;
    const found: { namespace: string; name: string }[] = [];
    for (const { metadata } of store.values()) {
      const { namespace: own = "", name } = metadata;
      if (namespace === undefined || namespace === own) found.push({ namespace: own, name });
    }
    return found.sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
  }

  has(kind: Stat["kind"], namespace: string, name: string): boolean {
    const key = keyOf(namespace, name);
    return kind === "Pod" ? this.pods.store.has(key) : this.#listed[kind].store.has(key);
  }

  /** Pods behind a resource; for a Service with the target ports of it that they serve. */
  members(kind: string, namespace: string, name: string): Member[] {
    const key = keyOf(namespace, name);
    if (kind === "Service") {
      return [...this.membership.of(key)].map(([pod, ports]) => ({ key: pod, pod: this.pods.store.get(pod), ports }));
    }
    const keys = kind === "Pod" ? [key] : [...(this.#byWorkload.get(`${kind}/${key}`) ?? [])];
    return keys.map((pod) => ({ key: pod, pod: this.pods.store.get(pod), ports: undefined }));
  }

  #changed(): void {
    if (this.#listeners.size === 0) return;
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      for (const listener of this.#listeners) listener();
    }, SETTLE_MS);
  }

  #informers(): Informer<KubeObject>[] {
    return [
      this.pods as unknown as Informer<KubeObject>,
      this.#slices as unknown as Informer<KubeObject>,
      this.namespaces,
      ...Object.values(this.#listed),
    ];
  }

  #index(pod: PodView): void {
    if (pod.ip !== undefined && isLive(pod)) this.#byIp.set(pod.ip, pod);
    const workload = workloadKey(pod);
    const pods = this.#byWorkload.get(workload) ?? new Set();
    pods.add(podKey(pod));
    this.#byWorkload.set(workload, pods);
  }

  #unindex(pod: PodView): void {
    // The address may already be another pod's.
    if (pod.ip !== undefined && this.#byIp.get(pod.ip)?.metadata.uid === pod.metadata.uid) this.#byIp.delete(pod.ip);
    const workload = workloadKey(pod);
    const pods = this.#byWorkload.get(workload);
    pods?.delete(podKey(pod));
    if (pods?.size === 0) this.#byWorkload.delete(workload);
  }
}

export function workloadKey({ workload, metadata }: PodView): string {
  return `${workload.kind}/${keyOf(metadata.namespace ?? "", workload.name)}`;
}

/** Only a name and the annotations that switch tap off. */
function bare({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, resourceVersion, annotations } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(kind === "Namespace" && annotations !== undefined ? { annotations } : {}),
    },
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
