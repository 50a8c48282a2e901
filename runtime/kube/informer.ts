/** A live store of one resource: list, then watch from there (client-go's reflector; KEP-956 bookmarks). */
import { setTimeout as sleep } from "node:timers/promises";
import { Backoff } from "./backoff.ts";
import { readError } from "./client.ts";
import { hasStatus, isStatus, KubeConnectionError, KubeError } from "./errors.ts";
import { readLines } from "./lines.ts";
import { listPages } from "./paging.ts";
import { apiVersionOf, resourcePath } from "./resources.ts";
import type { Change, Informer, InformerOptions, KubeClient, KubeObject, KubeRequest, Resource } from "./types.ts";

/** The server ends a watch after a time in this range, so that clients spread over its replicas. */
const WATCH_SECONDS = { min: 290, max: 600 };
/** Bookmarks come about once a minute: a watch silent for more than two of them is dead. */
const SILENCE_MS = 150_000;
/** A watch that ends sooner than this has not worked; resuming it at once would be a storm. */
const SHORT_WATCH_MS = 1_000;
const BACKOFF = { firstMs: 250, capMs: 30_000, healthyMs: 60_000 };
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: T;
}

/**
 * Starts at once and runs until stopped. Faults go to `options.onError` and are tried again; the store keeps its last
 * state meanwhile ({@link Informer.stalenessMs} tells how old it is). Besides managedFields, kubectl's
 * last-applied-configuration is dropped from what enters the store.
 */
export function startInformer<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  options: InformerOptions<T> = {},
): Informer<T> {
  return new WatchingInformer(client, resource, options);
}

class WatchingInformer<T extends KubeObject> implements Informer<T> {
  readonly store = new Map<string, T>();
  readonly synced: Promise<void>;

  readonly #client: KubeClient;
  readonly #resource: Resource;
  readonly #options: InformerOptions<T>;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly #backoff = new Backoff(BACKOFF);
  readonly #settleSynced: { resolve: () => void; reject: (error: Error) => void };
  #heardAt = performance.now();

  constructor(client: KubeClient, resource: Resource, options: InformerOptions<T>) {
    this.#client = client;
    this.#resource = resource;
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#settleSynced = { resolve, reject };
    // Whoever does not wait for the first list need not handle its rejection either.
    promise.catch(() => {});
    void this.#run();
  }

  readonly stalenessMs = (): number => performance.now() - this.#heardAt;

  subscribe(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#stopping.abort();
    this.#listeners.clear();
    this.#settleSynced.reject(new Error(`stopped before the first list of ${this.#resource.plural} was complete`));
  }

  async #run(): Promise<void> {
    /** Where to watch from; undefined: list first. */
    let resourceVersion: string | undefined;
    while (!this.#stopping.signal.aborted) {
      try {
        resourceVersion ??= await this.#list();
        const watch = new Watch(resourceVersion);
        try {
          await this.#watch(watch);
        } finally {
          resourceVersion = watch.resourceVersion;
        }
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        if (needsNewList(error)) resourceVersion = undefined;
        // An expired version is everyday life; anything else is told and slows the next try.
        if (!hasStatus(error, 410)) this.#report(error);
        await this.#pause(error);
      }
    }
  }

  async #pause(error: unknown): Promise<void> {
    const retryAfterMs = error instanceof KubeError ? (error.details.retryAfterSeconds ?? 0) * 1000 : 0;
    const delay = Math.max(this.#backoff.next(), Math.min(retryAfterMs, BACKOFF.capMs));
    await sleep(delay, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  /** Replaces the store's content; @returns the version to watch from */
  async #list(): Promise<string> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const signal = this.#stopping.signal;
    const listed = new Map<string, T>();
    let resourceVersion = "";
    const selection = { ...(namespace && { namespace }), ...(labelSelector && { labelSelector }) };
    for await (const page of listPages<T>(this.#client, this.#resource, {
      ...selection,
      ...(fieldSelector && { fieldSelector }),
      signal,
    })) {
      if (page.first) listed.clear();
      for (const item of page.items) listed.set(keyOf(item), this.#project(item));
      resourceVersion = page.resourceVersion;
    }
    this.#heardAt = performance.now();
    for (const [key, object] of this.store) {
      if (!listed.has(key)) this.#remove(key, object);
    }
    for (const [key, object] of listed) this.#put(key, object);
    this.#settleSynced.resolve();
    return resourceVersion;
  }

  /** Returns when the server ended the watch in good order; rejects for any fault. */
  async #watch(watch: Watch): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const request: KubeRequest = {
      method: "GET",
      path: resourcePath(this.#resource, namespace),
      query: {
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: watch.resourceVersion,
        timeoutSeconds: randomBetween(WATCH_SECONDS.min, WATCH_SECONDS.max),
        labelSelector,
        fieldSelector,
      },
      signal: this.#stopping.signal,
    };
    const startedAt = performance.now();
    const stream = await this.#client.transport.open(request);
    if (stream.status >= 400) throw await readError(request, stream);
    const silence = setTimeout(() => stream.close(), SILENCE_MS);
    try {
      for await (const line of readLines(stream.body)) {
        silence.refresh();
        this.#handle(JSON.parse(line) as WatchEvent<T>, watch);
      }
    } finally {
      clearTimeout(silence);
      stream.close();
    }
    if (performance.now() - startedAt < SHORT_WATCH_MS && watch.events === 0) {
      throw new KubeConnectionError(this.#client.transport.server, `watch of ${this.#resource.plural} ended at once`);
    }
  }

  #handle(event: WatchEvent<T>, watch: Watch): void {
    this.#heardAt = performance.now();
    if (event.type === "ERROR") {
      const status: unknown = event.object;
      throw new WatchEventError(
        isStatus(status) ? { ...status, code: status.code ?? 500 } : { kind: "Status", code: 500 },
      );
    }
    watch.events++;
    watch.resourceVersion = event.object.metadata.resourceVersion ?? watch.resourceVersion;
    if (event.type === "BOOKMARK") return;
    event.object.apiVersion ??= apiVersionOf(this.#resource);
    event.object.kind ??= this.#resource.kind;
    const key = keyOf(event.object);
    const object = this.#project(event.object);
    if (event.type === "DELETED") this.#remove(key, object);
    else this.#put(key, object);
  }

  #put(key: string, object: T): void {
    const previous = this.store.get(key);
    const version = object.metadata.resourceVersion;
    if (previous !== undefined && version !== undefined && previous.metadata.resourceVersion === version) return;
    this.store.set(key, object);
    this.#tell(previous === undefined ? { type: "added", object } : { type: "updated", object, previous });
  }

  #remove(key: string, object: T): void {
    const previous = this.store.get(key);
    if (previous === undefined) return;
    this.store.delete(key);
    this.#tell({ type: "deleted", object, previous });
  }

  #tell(change: Change<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#report(error);
      }
    }
  }

  #project(object: T): T {
    const metadata = object.metadata as T["metadata"] & { managedFields?: unknown };
    delete metadata.managedFields;
    if (metadata.annotations !== undefined) delete metadata.annotations[LAST_APPLIED];
    return this.#options.project?.(object) ?? object;
  }

  #report(error: unknown): void {
    this.#options.onError?.(error instanceof Error ? error : new Error(String(error)));
  }
}

/** How far a watch got. */
class Watch {
  resourceVersion: string;
  events = 0;

  constructor(resourceVersion: string) {
    this.resourceVersion = resourceVersion;
  }
}

/** An ERROR event: the server gave this watch up. */
class WatchEventError extends KubeError {}

function needsNewList(error: unknown): boolean {
  if (hasStatus(error, 410)) return true;
  return error instanceof WatchEventError && error.status !== 429;
}

function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function randomBetween(min: number, max: number): number {
  return Math.floor(min + Math.random() * (max - min + 1));
}
