/** Follows one port of one Service and tells its subscribers what changed: computed once for all clients of a zone. */
import type { Update } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import { toTcpAddress } from "./addresses.ts";
import { type ClusterState, topic } from "./cluster-state.ts";
import { type EndpointMap, type EndpointQuery, endpointsOf, type Locality, visibleTo } from "./endpoint-set.ts";

export interface EndpointSubscriber {
  readonly locality: Locality;
  readonly send: (update: Update) => void;
}

interface Seen {
  /** What the subscriber knows. */
  readonly endpoints: EndpointMap;
  readonly exists: boolean;
}

const NOTHING: EndpointMap = new Map();
/** Addresses in one message: 4 MiB is what clients take, an address has some 300 bytes. */
const MAX_ADDRESSES = 2_000;

export class EndpointPublisher {
  readonly #state: ClusterState;
  readonly #mesh: MeshConfig;
  readonly #query: EndpointQuery;
  readonly #subscribers = new Map<EndpointSubscriber, Seen>();
  readonly #stop: () => void;
  #endpoints: EndpointMap = NOTHING;
  #views = new Map<string, Seen>();

  constructor(state: ClusterState, mesh: MeshConfig, query: EndpointQuery) {
    this.#state = state;
    this.#mesh = mesh;
    this.#query = query;
    this.#stop = state.topics.subscribe(topic.service(query.service), () => this.#publish());
    this.#views = this.#newViews();
  }

  get empty(): boolean {
    return this.#subscribers.size === 0;
  }

  /** Sends the whole state at once: `add`, or `no_endpoints`. */
  add(subscriber: EndpointSubscriber): void {
    const view = this.#viewFor(subscriber);
    this.#subscribers.set(subscriber, view);
    for (const update of difference(undefined, view, this.#labels)) subscriber.send(update);
  }

  remove(subscriber: EndpointSubscriber): void {
    this.#subscribers.delete(subscriber);
  }

  stop(): void {
    this.#stop();
    this.#subscribers.clear();
  }

  #publish(): void {
    this.#views = this.#newViews();
    const computed = new Map<Seen, Map<Seen, Update[]>>();
    for (const [subscriber, before] of this.#subscribers) {
      const after = this.#viewFor(subscriber);
      const known = computed.get(before) ?? new Map<Seen, Update[]>();
      const updates = known.get(after) ?? difference(before, after, this.#labels);
      computed.set(before, known.set(after, updates));
      this.#subscribers.set(subscriber, after);
      for (const update of updates) subscriber.send(update);
    }
  }

  #newViews(): Map<string, Seen> {
    this.#endpoints = endpointsOf(this.#state, this.#mesh, this.#query);
    return new Map();
  }

  #viewFor({ locality }: EndpointSubscriber): Seen {
    const service = this.#state.service(this.#query.service);
    const localOnly = service?.localOnly ?? false;
    const key = localOnly ? `${locality.zone} ${locality.nodeName}` : locality.zone;
    const found = this.#views.get(key);
    if (found !== undefined) return found;
    const view: Seen = {
      endpoints: visibleTo(this.#endpoints, locality, localOnly),
      exists: service !== undefined,
    };
    this.#views.set(key, view);
    return view;
  }

  get #labels(): Record<string, string> {
    const [namespace = "", service = ""] = this.#query.service.split("/");
    return { namespace, service };
  }
}

/** @param before undefined: the subscriber knows nothing yet */
export function difference(before: Seen | undefined, after: Seen, labels: Record<string, string>): Update[] {
  const known = before?.endpoints ?? NOTHING;
  if (after.endpoints.size === 0) {
    const unchanged = before !== undefined && known.size === 0 && before.exists === after.exists;
    return unchanged ? [] : [{ update: { $case: "noEndpoints", value: { exists: after.exists } } }];
  }
  const added = [...after.endpoints].filter(([key, entry]) => known.get(key)?.signature !== entry.signature);
  const removed = [...known].filter(([key]) => !after.endpoints.has(key));
  const updates: Update[] = [];
  // First the new ones: a client is never without an endpoint while there is one.
  for (let at = 0; at < added.length; at += MAX_ADDRESSES) {
    const addrs = added.slice(at, at + MAX_ADDRESSES).map(([, { address }]) => address);
    updates.push({ update: { $case: "add", value: { addrs, metricLabels: labels } } });
  }
  if (removed.length > 0) {
    const addrs = removed.map(([, { ip, port }]) => toTcpAddress(ip, port));
    updates.push({ update: { $case: "remove", value: { addrs } } });
  }
  return updates;
}
