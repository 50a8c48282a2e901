/** {@link EndpointSource} over Destination.Get: the endpoints of one authority, kept current by differences. */
import { DestinationService, type Update } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { StreamLimits } from "../config/config.ts";
import { type ControlClient, type RpcError, rpcStatus } from "../control/client.ts";
import { Watch, type Watching } from "../control/watch.ts";
import type { Logger } from "../log.ts";
import { addressFromWire, endpointFromWire, sameEndpoint } from "./discovery-endpoint.ts";
import type { Endpoint, EndpointSource } from "./target.ts";

type Listener = Parameters<EndpointSource["subscribe"]>[0];

export interface DestinationOptions {
  readonly client: ControlClient;
  /** Sent as it was given. */
  readonly context: string;
  readonly limits: StreamLimits;
  readonly log: Logger;
}

export class DestinationSource implements EndpointSource {
  readonly path: string;
  readonly #log: Logger;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #listeners = new Set<Listener>();
  readonly #watch: Watching;
  #state: EndpointSource["state"] = "pending";

  constructor(path: string, { client, context, limits, log }: DestinationOptions) {
    this.path = path;
    this.#log = log;
    this.#watch = new Watch({
      client,
      limits,
      method: DestinationService.get,
      request: { scheme: "k8s", path, contextToken: context },
      onMessage: (update: Update, first) => this.#apply(update, first),
      onError: (error) => this.#failed(error),
    });
  }

  get state(): EndpointSource["state"] {
    return this.#state;
  }

  get endpoints(): ReadonlyMap<string, Endpoint> {
    return this.#endpoints;
  }

  /** Whether the controller is there to tell of changes. */
  get live(): boolean {
    return this.#watch.live;
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#watch.stop();
    this.#listeners.clear();
  }

  /** @param first the first message of a stream tells the whole state: what it does not name is gone, the rest stays in place */
  #apply({ update }: Update, first: boolean): void {
    if (update === undefined) return;
    const named = new Map<string, Endpoint>();
    const removed = new Set<string>();
    if (update.$case === "add") {
      for (const weighted of update.value.addrs) {
        const endpoint = endpointFromWire(weighted, update.value.metricLabels);
        if (endpoint !== undefined) named.set(endpoint.address, endpoint);
      }
    } else if (update.$case === "remove") {
      for (const address of update.value.addrs) {
        const key = addressFromWire(address);
        if (key !== undefined && this.#endpoints.has(key)) removed.add(key);
      }
    }
    if (update.$case === "noEndpoints" || first) {
      for (const key of this.#endpoints.keys()) if (!named.has(key)) removed.add(key);
    }
    const added = [...named.values()].filter((endpoint) => {
      const present = this.#endpoints.get(endpoint.address);
      return present === undefined || !sameEndpoint(present, endpoint);
    });
    const gone = update.$case === "noEndpoints" && !update.value.exists;
    this.#change(added, [...removed], gone ? "unknown" : undefined);
  }

  #failed(error: RpcError): "retry" | "stop" {
    const final = error.code === rpcStatus.invalidArgument || error.code === rpcStatus.failedPrecondition;
    if (final || error.code === rpcStatus.notFound) {
      this.#log.debug(`${this.path} is no service: ${error.message}`);
      this.#change([], [...this.#endpoints.keys()], "unknown");
    } else {
      this.#log.debug(`endpoints of ${this.path}: ${error.message}; ${this.#endpoints.size} known ones stay`);
    }
    return final ? "stop" : "retry";
  }

  #change(added: readonly Endpoint[], removed: readonly string[], state?: "unknown"): void {
    for (const key of removed) this.#endpoints.delete(key);
    for (const endpoint of added) this.#endpoints.set(endpoint.address, endpoint);
    const before = this.#state;
    this.#state = state ?? (this.#endpoints.size > 0 ? "ready" : "empty");
    if (added.length === 0 && removed.length === 0 && before === this.#state) return;
    this.#log.debug(`${this.path}: ${this.#endpoints.size} endpoint(s), ${this.#state}`);
    for (const listener of [...this.#listeners]) listener({ added, removed });
  }
}
