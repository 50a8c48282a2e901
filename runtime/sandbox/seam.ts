/**
 * Where the sandbox's API and its node meet. Both live in one process: the node reads and writes the API's store by
 * plain calls, as a kubelet does over HTTPS, and the API asks the node for what only it can do.
 *
 * Order of a start: the node prepares its network ({@link NodeNetwork}) → the API listens on loopback and on
 * `apiAddress`, and its controllers start → the node is given {@link SandboxApi} and runs pods → down in reverse.
 */
import type { Duplex } from "node:stream";
import type { KubeObject, Resource } from "../kube/types.ts";

export interface StoreChange<T extends KubeObject = KubeObject> {
  readonly type: "added" | "updated" | "deleted";
  readonly object: T;
  /** The object before, for updated and deleted. */
  readonly previous?: T;
}

/** A token for a service account, as TokenRequest gives it. */
export interface TokenOptions {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Default: the API server's own. */
  readonly audiences?: readonly string[];
  /** Default 3600; at least 600. */
  readonly expirationSeconds?: number;
  /** The token dies with this pod. */
  readonly pod?: { readonly name: string; readonly uid: string };
}

export interface MintedToken {
  readonly token: string;
  readonly expiresAt: Date;
}

/**
 * The API as the node uses it: no authentication, no authorization, no admission, at once. Objects handed out are shared
 * and never change: do not write into them. Refusals are thrown as StatusError (`api/status.ts`, a KubeError).
 */
export interface SandboxApi {
  get<T extends KubeObject>(resource: Resource, name: string, namespace?: string): T | undefined;
  list<T extends KubeObject>(resource: Resource, namespace?: string): T[];
  /**
   * Tells what is there as "added", at once, then every change in order. Listeners are called after the change is
   * stored, in a microtask; one that throws is reported and stays. @returns ends it
   */
  watch<T extends KubeObject>(resource: Resource, listener: (change: StoreChange<T>) => void): () => void;
  /** Past admission: for what a kubelet makes itself. Pods' events go by {@link SandboxApi.event}. */
  create<T extends KubeObject>(resource: Resource, object: T): T;
  /**
   * `change` alters a copy of the present object. With "status" only `.status` of it is kept, otherwise everything but.
   * A change that changes nothing writes nothing. @throws StatusError 404
   */
  update<T extends KubeObject>(
    resource: Resource,
    name: string,
    namespace: string | undefined,
    change: (copy: T) => void,
    subresource?: "status",
  ): T;
  /**
   * The last step of a pod's deletion (a kubelet's DELETE with grace period 0), after its processes ended. A pod that
   * shall go has `metadata.deletionTimestamp` and `deletionGracePeriodSeconds`. False where it was gone (uid differs).
   */
  finishPod(namespace: string, name: string, uid: string): boolean;
  mintToken(options: TokenOptions): MintedToken;
  /** An Event about `object`, counted up where the same one is there; component is `kubelet` unless named. */
  event(object: KubeObject, type: "Normal" | "Warning", reason: string, message: string, component?: string): void;
}

/** What the node's network looks like. All of it exists before the API starts. */
export interface NodeNetwork {
  /** One entry a node that pods are scheduled to; `name` is what `spec.nodeName` will say. */
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly podCidr: string }[];
  /** An address of the host that pods reach: the API listens there too, and the Service `kubernetes` points at it. */
  readonly apiAddress: string;
  /** ClusterIPs come from here, e.g. `10.96.0.0/16`; the first is Service `kubernetes`. */
  readonly serviceCidr: string;
  /** ClusterIP of DNS, which the node answers itself. */
  readonly dnsAddress: string;
}

export interface LogOptions {
  readonly container: string;
  readonly follow: boolean;
  /** Of the container's instance before. */
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly sinceTime?: Date;
  readonly limitBytes?: number;
  readonly signal: AbortSignal;
}

/** What the API asks of the node. Errors reject with a message fit for the user. */
export interface SandboxNode {
  readonly network: NodeNetwork;
  /** Begins to run pods whose `spec.nodeName` is one of its nodes. Resolves when it watches. */
  start(api: SandboxApi): Promise<void>;
  /** Ends every pod's processes and removes namespaces, links, rules and mounts. Never rejects for what is gone already. */
  stop(): Promise<void>;
  logs(pod: KubeObject, options: LogOptions): AsyncIterable<Uint8Array>;
  /** A TCP connection to an address of a pod or a Service, as from the host: for webhooks, aggregated APIs and pods/proxy. */
  dial(address: string, port: number, signal?: AbortSignal): Promise<Duplex>;
  /** A TCP connection to 127.0.0.1:port inside the pod: for pods/portforward. */
  dialInPod?(pod: KubeObject, port: number): Promise<Duplex>;
}
