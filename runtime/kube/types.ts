/** The Kubernetes objects and requests that every room speaks of. */

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  generateName?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
}

/** Any Kubernetes object. Rooms narrow it with interfaces of their own that name the fields they read. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

/** A kind as the API's paths name it: `{group: "apps", version: "v1", plural: "deployments", kind: "Deployment", namespaced: true}`. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Absolute path, e.g. `/api/v1/namespaces`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON (or as the content-type header says); bytes and strings as they are. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** Until the answer's head; 0 for none. Default 30 s. */
  readonly timeoutMs?: number;
}

/** An answer whose body is still to be read. */
export interface KubeStream {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the body and its connection. */
  close(): void;
}

/**
 * How bytes reach an API server: in-cluster (service-account token) or by a kubeconfig's credentials. Everything above
 * it (client, informer, apply) is the same for both.
 */
export interface KubeTransport {
  /** e.g. `https://10.0.0.1:6443`; for messages. */
  readonly server: string;
  /** Resolves with the head whatever the status; rejects only where no answer came (KubeConnectionError). */
  open(request: KubeRequest): Promise<KubeStream>;
  close(): void;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly signal?: AbortSignal;
}

export interface ApplyOptions {
  readonly fieldManager: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Typed verbs over a transport. Every method rejects with KubeError (status, reason, message of the Status object)
 * for an answer ≥ 400 and with KubeConnectionError where none came. `runtime/kube/client.ts` implements it.
 */
export interface KubeClient {
  readonly transport: KubeTransport;
  get<T extends KubeObject>(resource: Resource, name: string, namespace?: string): Promise<T>;
  /** As get, undefined for 404. */
  find<T extends KubeObject>(resource: Resource, name: string, namespace?: string): Promise<T | undefined>;
  /** Pages through with limit and continue; restarts once on 410. */
  list<T extends KubeObject>(
    resource: Resource,
    options?: ListOptions,
  ): Promise<{ items: T[]; resourceVersion: string }>;
  create<T extends KubeObject>(
    resource: Resource,
    object: T,
    options?: { dryRun?: boolean; fieldManager?: string },
  ): Promise<T>;
  /** PUT with the object's resourceVersion; 409 surfaces as KubeError. */
  replace<T extends KubeObject>(resource: Resource, object: T, subresource?: string): Promise<T>;
  patch<T extends KubeObject>(
    resource: Resource,
    name: string,
    namespace: string | undefined,
    patch: unknown,
    options?: { type?: "merge" | "strategic" | "json"; subresource?: string; fieldManager?: string; dryRun?: boolean },
  ): Promise<T>;
  /** Server-side apply. */
  apply<T extends KubeObject>(resource: Resource, object: T, options: ApplyOptions): Promise<T>;
  /** Deleting what is gone is no error. */
  delete(
    resource: Resource,
    name: string,
    namespace?: string,
    options?: { propagationPolicy?: "Foreground" | "Background" | "Orphan"; uid?: string },
  ): Promise<void>;
  /** Any JSON request, e.g. a TokenReview or /version. */
  json<T>(request: KubeRequest): Promise<T>;
}

/** What an informer tells: the store already holds the new state. */
export interface Change<T> {
  readonly type: "added" | "updated" | "deleted";
  readonly object: T;
  /** The object before, for updated and deleted. */
  readonly previous?: T;
}

export interface InformerOptions<T extends KubeObject> extends Omit<ListOptions, "signal"> {
  /** Keeps only what is needed of an object, before it enters the store. managedFields are always dropped. */
  readonly project?: (object: T) => T;
  readonly onError?: (error: Error) => void;
}

/**
 * A live store of one resource: list, then watch from there with bookmarks; 410 relists, faults back off with jitter.
 * `runtime/kube/informer.ts` implements it as `startInformer(client, resource, options)`.
 */
export interface Informer<T extends KubeObject> {
  /** Key: `<namespace>/<name>`, or `<name>` for cluster-scoped. */
  readonly store: ReadonlyMap<string, T>;
  /** Resolves after the first complete list; rejects when stopped before it. */
  readonly synced: Promise<void>;
  /** Milliseconds since the last list or watch event (bookmarks count). */
  readonly stalenessMs: () => number;
  subscribe(listener: (change: Change<T>) => void): () => void;
  stop(): void;
}
