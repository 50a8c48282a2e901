/** Which pods are behind a service, on which target ports: out of its EndpointSlices (discovery.k8s.io/v1). */
import type { KubeObject } from "../../kube/types.ts";
import { isLive, keyOf, type PodView, podKey } from "./pod-view.ts";

export interface EndpointSlice extends KubeObject {
  readonly service: string | undefined;
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly string[];
}

interface SliceEndpoint {
  /** Key of the pod it refers to; absent for endpoints that somebody wrote by hand. */
  readonly pod: string | undefined;
  readonly addresses: readonly string[];
}

interface RawSlice extends KubeObject {
  endpoints?: {
    addresses?: string[];
    targetRef?: { kind?: string; namespace?: string; name?: string };
  }[];
  ports?: { port?: number }[];
}

const SERVICE_NAME = "kubernetes.io/service-name";

/** For an informer's `project`. */
export function viewEndpointSlice(object: KubeObject): EndpointSlice {
  const slice = object as RawSlice;
  const { name, namespace = "", resourceVersion, labels } = slice.metadata;
  const service = labels?.[SERVICE_NAME];
  return {
    apiVersion: slice.apiVersion,
    kind: slice.kind,
    metadata: { name, namespace, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    service: service === undefined ? undefined : keyOf(namespace, service),
    endpoints: (slice.endpoints ?? []).map(({ addresses = [], targetRef }) => ({
      pod:
        targetRef?.kind === "Pod" && targetRef.name !== undefined
          ? keyOf(targetRef.namespace ?? namespace, targetRef.name)
          : undefined,
      addresses,
    })),
    ports: (slice.ports ?? []).flatMap(({ port }) => (port === undefined ? [] : [String(port)])),
  };
}

type Members = Map<string, Set<string>>;

/** What membership asks about pods. */
interface Pods {
  podByIp(ip: string): PodView | undefined;
  isRunning(key: string): boolean;
}

export class Membership {
  /** Service → its slices by name. */
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #members = new Map<string, Members>();
  readonly #pods: Pods;
  /** Service → pods that were behind it when they ended: their figures still count in the window. */
  readonly #departed = new Map<string, Members>();

  constructor(pods: Pods) {
    this.#pods = pods;
  }

  put(slice: EndpointSlice): void {
    if (slice.service === undefined) return;
    const slices = this.#slices.get(slice.service) ?? new Map<string, EndpointSlice>();
    slices.set(slice.metadata.name, slice);
    this.#slices.set(slice.service, slices);
    this.#rebuild(slice.service);
  }

  remove(slice: EndpointSlice): void {
    if (slice.service === undefined) return;
    const slices = this.#slices.get(slice.service);
    slices?.delete(slice.metadata.name);
    if (slices?.size === 0) this.#slices.delete(slice.service);
    this.#rebuild(slice.service);
  }

  /** Keys of pods → target ports. */
  of(service: string): Members {
    const members: Members = new Map(this.#members.get(service));
    for (const [pod, ports] of this.#departed.get(service) ?? []) if (!members.has(pod)) members.set(pod, ports);
    return members;
  }

  services(): IterableIterator<string> {
    return this.#members.keys();
  }

  /** Forgets departed pods of which there are no figures any more. */
  prune(hasFigures: (pod: string) => boolean): void {
    for (const [service, members] of this.#departed) {
      for (const pod of members.keys()) if (!hasFigures(pod)) members.delete(pod);
      if (members.size === 0) this.#departed.delete(service);
    }
  }

  #rebuild(service: string): void {
    const before = this.#members.get(service);
    const members: Members = new Map();
    for (const slice of this.#slices.get(service)?.values() ?? []) {
      for (const endpoint of slice.endpoints) {
        const pod = endpoint.pod ?? this.#podAt(endpoint.addresses);
        if (pod === undefined) continue;
        const ports = members.get(pod) ?? new Set();
        for (const port of slice.ports) ports.add(port);
        members.set(pod, ports);
      }
    }
    if (members.size === 0 && !this.#slices.has(service)) this.#members.delete(service);
    else this.#members.set(service, members);
    for (const [pod, ports] of before ?? []) {
      // A pod that left alive (its labels changed, another selector) is none of the service's any more.
      if (members.has(pod) || this.#pods.isRunning(pod)) continue;
      const departed = this.#departed.get(service) ?? new Map();
      departed.set(pod, ports);
      this.#departed.set(service, departed);
    }
  }

  #podAt(addresses: readonly string[]): string | undefined {
    for (const address of addresses) {
      const pod = this.#pods.podByIp(address);
      if (pod !== undefined && isLive(pod)) return podKey(pod);
    }
    return undefined;
  }
}
