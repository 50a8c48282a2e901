/** The cluster as discovery and policy see it: informers, indexes over them, and topics that tell of changes. */
import { startInformer } from "../../kube/informer.ts";
import { resource } from "../../kube/resources.ts";
import type { Change, Informer, KubeClient, KubeObject, Resource } from "../../kube/types.ts";
import { type Log, messageOf } from "../config/log.ts";
import {
  type NamespaceView,
  type NodeView,
  type PodView,
  projectNamespace,
  projectNode,
  projectPod,
  projectService,
  projectSlice,
  type ServiceView,
  type SliceView,
} from "./projections.ts";
import { Topics } from "./topics.ts";

export const topic = {
  /** The Service, its EndpointSlices, the pods behind it, its namespace's annotations. */
  service: (key: string): string => `service:${key}`,
  pod: (key: string): string => `pod:${key}`,
  /** Which Service or pod has this address. */
  ip: (ip: string): string => `ip:${ip}`,
} as const;

const SERVICE_NAME = "kubernetes.io/service-name";

/** Keys are `<namespace>/<name>`. */
export class ClusterState {
  readonly topics: Topics;
  readonly #pods: Informer<PodView>;
  readonly #services: Informer<ServiceView>;
  readonly #slices: Informer<SliceView>;
  readonly #nodes: Informer<NodeView>;
  readonly #namespaces: Informer<NamespaceView>;
  readonly #podsByIp = new Map<string, Set<string>>();
  readonly #podByHostPort = new Map<string, string>();
  readonly #serviceByIp = new Map<string, string>();
  readonly #slicesByService = new Map<string, Map<string, SliceView>>();
  /** Pod → Services whose slices name it, with how often. */
  readonly #servicesByPod = new Map<string, Map<string, number>>();

  constructor(client: KubeClient, log: Log) {
    this.topics = new Topics((error) => log.error("an update failed", { reason: messageOf(error) }));
    const watch = <T extends KubeObject>(
      kind: Resource,
      project: (object: T) => T,
      onChange: (change: Change<T>) => void,
      labelSelector?: string,
    ): Informer<T> => {
      const informer = startInformer<T>(client, kind, {
        project,
        ...(labelSelector === undefined ? {} : { labelSelector }),
        onError: (error) =>
          log.warn(`cannot watch ${kind.plural}: the last known state is served`, { reason: messageOf(error) }),
      });
      informer.subscribe(onChange);
      return informer;
    };
    this.#namespaces = watch(resource.namespaces, projectNamespace, (change) => this.#namespaceChanged(change));
    this.#nodes = watch(resource.nodes, projectNode, () => {});
    this.#pods = watch(resource.pods, projectPod, (change) => this.#podChanged(change));
    this.#services = watch(resource.services, projectService, (change) => this.#serviceChanged(change));
    this.#slices = watch(resource.endpointSlices, projectSlice, (change) => this.#sliceChanged(change), SERVICE_NAME);
  }

  /** Resolves after the first complete list of everything. */
  get synced(): Promise<void> {
    return Promise.all(this.#all().map(({ synced }) => synced)).then(() => {});
  }

  /** How old the oldest of the stores is. Bookmarks come about once a minute. */
  stalenessMs(): number {
    return Math.max(...this.#all().map(({ stalenessMs }) => stalenessMs()));
  }

  get podCount(): number {
    return this.#pods.store.size;
  }

  pods(): Iterable<PodView> {
    return this.#pods.store.values();
  }

  pod(key: string): PodView | undefined {
    return this.#pods.store.get(key);
  }

  service(key: string): ServiceView | undefined {
    return this.#services.store.get(key);
  }

  namespace(name: string): NamespaceView | undefined {
    return this.#namespaces.store.get(name);
  }

  slices(serviceKey: string): Iterable<SliceView> {
    return this.#slicesByService.get(serviceKey)?.values() ?? [];
  }

  /** Empty where the node or its zone is not known. */
  zoneOf(node: string): string {
    return this.#nodes.store.get(node)?.zone ?? "";
  }

  serviceByIp(ip: string): ServiceView | undefined {
    const key = this.#serviceByIp.get(ip);
    return key === undefined ? undefined : this.#services.store.get(key);
  }

  /** The pod that answers at this address: its own, or a port of its node's. */
  podsAt(ip: string, port: number): PodView[] {
    const keys = [...(this.#podsByIp.get(ip) ?? [])];
    const onHost = this.#podByHostPort.get(`${ip}:${port}`);
    if (keys.length === 0 && onHost !== undefined) keys.push(onHost);
    return keys.map((key) => this.#pods.store.get(key)).filter((pod) => pod !== undefined);
  }

  stop(): void {
    for (const informer of this.#all()) informer.stop();
    this.topics.stop();
  }

  #all(): { synced: Promise<void>; stalenessMs: () => number; stop(): void }[] {
    return [this.#namespaces, this.#nodes, this.#pods, this.#services, this.#slices];
  }

  #namespaceChanged({ object, previous }: Change<NamespaceView>): void {
    const annotations = (of: NamespaceView | undefined): string => JSON.stringify(of?.metadata.annotations ?? {});
    if (annotations(object) === annotations(previous)) return;
    this.topics.notifyAll(topic.service(`${object.metadata.name}/`));
    this.topics.notifyAll(topic.pod(`${object.metadata.name}/`));
  }

  #podChanged({ type, object, previous }: Change<PodView>): void {
    const key = keyOf(object);
    // Most updates of a pod are of fields that were dropped.
    if (type === "updated" && previous !== undefined && same(previous, object)) return;
    if (previous !== undefined) this.#unindexPod(key, previous);
    if (type !== "deleted") this.#indexPod(key, object);
    for (const ip of new Set([...object.ips, ...(previous?.ips ?? []), object.hostIp]))
      this.topics.notify(topic.ip(ip));
    this.topics.notify(topic.pod(key));
    for (const service of this.#servicesByPod.get(key)?.keys() ?? []) this.topics.notify(topic.service(service));
  }

  #indexPod(key: string, pod: PodView): void {
    if (pod.finished) return;
    for (const { hostPort } of pod.ports) {
      if (hostPort !== undefined && pod.hostIp !== "") this.#podByHostPort.set(`${pod.hostIp}:${hostPort}`, key);
    }
    // The address of a pod on the host's network is the node's: it tells nothing.
    if (pod.hostNetwork) return;
    for (const ip of pod.ips) {
      const keys = this.#podsByIp.get(ip);
      if (keys === undefined) this.#podsByIp.set(ip, new Set([key]));
      else keys.add(key);
    }
  }

  #unindexPod(key: string, pod: PodView): void {
    for (const { hostPort } of pod.ports) {
      const place = `${pod.hostIp}:${hostPort}`;
      if (this.#podByHostPort.get(place) === key) this.#podByHostPort.delete(place);
    }
    for (const ip of pod.ips) {
      const keys = this.#podsByIp.get(ip);
      keys?.delete(key);
      if (keys?.size === 0) this.#podsByIp.delete(ip);
    }
  }

  #serviceChanged({ type, object, previous }: Change<ServiceView>): void {
    const key = keyOf(object);
    if (type === "updated" && previous !== undefined && same(previous, object)) return;
    for (const ip of previous?.clusterIps ?? []) {
      if (this.#serviceByIp.get(ip) === key) this.#serviceByIp.delete(ip);
      this.topics.notify(topic.ip(ip));
    }
    if (type !== "deleted") {
      for (const ip of object.clusterIps) {
        this.#serviceByIp.set(ip, key);
        this.topics.notify(topic.ip(ip));
      }
    }
    this.topics.notify(topic.service(key));
  }

  #sliceChanged({ type, object, previous }: Change<SliceView>): void {
    const key = keyOf(object);
    if (previous !== undefined) this.#unindexSlice(key, previous);
    if (type !== "deleted") this.#indexSlice(key, object);
    this.topics.notify(topic.service(object.service));
    if (previous !== undefined) this.topics.notify(topic.service(previous.service));
  }

  #indexSlice(key: string, slice: SliceView): void {
    const slices = this.#slicesByService.get(slice.service) ?? new Map<string, SliceView>();
    this.#slicesByService.set(slice.service, slices.set(key, slice));
    for (const { pod } of slice.endpoints) {
      if (pod === undefined) continue;
      const services = this.#servicesByPod.get(pod) ?? new Map<string, number>();
      this.#servicesByPod.set(pod, services.set(slice.service, (services.get(slice.service) ?? 0) + 1));
    }
  }

  #unindexSlice(key: string, slice: SliceView): void {
    const slices = this.#slicesByService.get(slice.service);
    slices?.delete(key);
    if (slices?.size === 0) this.#slicesByService.delete(slice.service);
    for (const { pod } of slice.endpoints) {
      const services = pod === undefined ? undefined : this.#servicesByPod.get(pod);
      if (pod === undefined || services === undefined) continue;
      const left = (services.get(slice.service) ?? 1) - 1;
      if (left > 0) services.set(slice.service, left);
      else services.delete(slice.service);
      if (services.size === 0) this.#servicesByPod.delete(pod);
    }
  }
}

export function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function same(a: KubeObject, b: KubeObject): boolean {
  const bare = ({ metadata: { resourceVersion: _, ...metadata }, ...rest }: KubeObject): string =>
    JSON.stringify([metadata, rest]);
  return bare(a) === bare(b);
}
