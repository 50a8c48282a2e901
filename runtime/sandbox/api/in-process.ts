/** {@link SandboxApi} over the store: how the node and the controllers, which live in this process, read and write. */
import { resource } from "../../kube/resources.ts";
import type { KubeObject, Resource } from "../../kube/types.ts";
import type { MintedToken, SandboxApi, StoreChange, TokenOptions } from "../seam.ts";
import { serviceAccountUser } from "./access.ts";
import type { ApiServer } from "./api-server.ts";
import type { Kind } from "./kind.ts";
import { recordUpdate } from "./managed-fields.ts";
import { copy, numberAt, type StoredObject, same, timestamp } from "./object.ts";
import { notFound, StatusError } from "./status.ts";
import type { StoreEvent } from "./store.ts";

const MAX_EVENTS = 1000;

export class InProcessApi implements SandboxApi {
  readonly #server: ApiServer;
  readonly #manager: string;
  readonly #report: (error: unknown) => void;
  /** Names of the events it made, by what they say: the same again only counts up. */
  readonly #events = new Map<string, string>();

  /** @param manager of the fields it writes, e.g. `kubelet` */
  constructor(server: ApiServer, manager: string, report: (error: unknown) => void) {
    this.#server = server;
    this.#manager = manager;
    this.#report = report;
  }

  get<T extends KubeObject>(of: Resource, name: string, namespace?: string): T | undefined {
    return this.#server.store.get(of, namespace, name) as T | undefined;
  }

  list<T extends KubeObject>(of: Resource, namespace?: string): T[] {
    return [...this.#server.store.snapshot(of, namespace).objects] as unknown as T[];
  }

  watch<T extends KubeObject>(of: Resource, listener: (change: StoreChange<T>) => void): () => void {
    let queue: StoreChange<T>[] = [];
    let ended = false;
    const tell = (change: StoreChange<T>): void => {
      try {
        if (!ended) listener(change);
      } catch (error) {
        this.#report(error);
      }
    };
    const flush = (): void => {
      const batch = queue;
      queue = [];
      for (const change of batch) tell(change);
    };
    const { objects, revision } = this.#server.store.snapshot(of);
    for (const object of objects) tell({ type: "added", object: object as unknown as T });
    const stop = this.#server.store.watch(of, revision, (event) => {
      if (queue.length === 0) queueMicrotask(flush);
      queue.push(changeOf<T>(event));
    });
    return () => {
      ended = true;
      stop();
    };
  }

  create<T extends KubeObject>(of: Resource, object: T): T {
    const kind = this.#kind(of);
    const made = copy(object) as StoredObject;
    if (kind.generation) made.metadata.generation = 1;
    kind.defaults(made);
    this.#server.allocator.allocate(kind, made, undefined);
    this.#record(undefined, made, kind, "");
    return this.#server.store.create(kind, made) as unknown as T;
  }

  update<T extends KubeObject>(
    of: Resource,
    name: string,
    namespace: string | undefined,
    change: (object: T) => void,
    subresource?: "status",
  ): T {
    const kind = this.#kind(of);
    const old = this.#server.store.get(kind, namespace, name);
    if (old === undefined) throw notFound(kind, name);
    const draft = copy(old);
    change(draft as unknown as T);
    const next: StoredObject = subresource === "status" ? { ...old, metadata: { ...old.metadata } } : draft;
    if (subresource === "status") next["status"] = draft["status"];
    else if (kind.status && old["status"] !== undefined) next["status"] = old["status"];
    if (same(next, old)) return old as unknown as T;
    if (subresource === undefined && kind.generation && !same(bare(next), bare(old))) {
      next.metadata.generation = (old.metadata.generation ?? 0) + 1;
    }
    this.#record(old, next, kind, subresource ?? "");
    if (isReleased(old, next)) return this.#server.store.delete(kind, old) as unknown as T;
    return this.#server.store.update(kind, next, old) as unknown as T;
  }

  finishPod(namespace: string, name: string, uid: string): boolean {
    const kind = this.#kind(resource.pods);
    const pod = this.#server.store.get(kind, namespace, name);
    if (pod === undefined || pod.metadata.uid !== uid) return false;
    return this.#server.deletion.deleteNow(kind, pod, { gracePeriodSeconds: 0 }).gone;
  }

  mintToken(options: TokenOptions): MintedToken {
    return this.#server.tokens.mint(options);
  }

  event(object: KubeObject, type: "Normal" | "Warning", reason: string, message: string, component = "kubelet"): void {
    const namespace = object.metadata.namespace ?? "default";
    const key = [object.metadata.uid, component, reason, message].join("|");
    const known = this.#events.get(key);
    const present = known === undefined ? undefined : this.#server.store.get(resource.events, namespace, known);
    try {
      if (present !== undefined) {
        this.update(resource.events, present.metadata.name, namespace, (event) => {
          event["count"] = (numberAt(event, "count") ?? 1) + 1;
          event["lastTimestamp"] = timestamp();
        });
        return;
      }
      const made = this.create(resource.events, newEvent(object, namespace, { type, reason, message, component }));
      this.#events.set(key, made.metadata.name);
      this.#forgetEvents();
    } catch (error) {
      // An event about what is gone meanwhile tells nobody anything.
      if (!(error instanceof StatusError)) throw error;
    }
  }

  /** The oldest go, first from memory, then from the store: a sandbox that runs for days must not drown in them. */
  #forgetEvents(): void {
    while (this.#events.size > MAX_EVENTS) {
      const [key = "", name = ""] = this.#events.entries().next().value ?? [];
      this.#events.delete(key);
      for (const event of this.#server.store.snapshot(resource.events).objects) {
        if (event.metadata.name === name) this.#server.store.delete(resource.events, event);
      }
    }
  }

  /** Through admission, as a controller of kube-controller-manager. */
  async admitted<T extends KubeObject>(of: Resource, object: T, controller: string): Promise<T> {
    const kind = this.#kind(of);
    const made = await this.#server.operations.create({ kind, namespace: object.metadata.namespace }, object, {
      user: serviceAccountUser("kube-system", controller),
      manager: "kube-controller-manager",
      dryRun: false,
      fieldValidation: "Ignore",
      warnings: [],
    });
    return made as unknown as T;
  }

  /** As DELETE, past admission. False where it was gone. */
  remove(
    of: Resource,
    name: string,
    namespace: string | undefined,
    options: { uid?: string; policy?: "Foreground" | "Background" } = {},
  ): boolean {
    const kind = this.#kind(of);
    const present = this.#server.store.get(kind, namespace, name);
    if (present === undefined || (options.uid !== undefined && present.metadata.uid !== options.uid)) return false;
    this.#server.deletion.deleteNow(
      kind,
      present,
      options.policy === undefined ? {} : { propagationPolicy: options.policy },
    );
    return true;
  }

  #kind(of: Resource): Kind {
    const kind = this.#server.registry.find(of.group, of.version, of.plural);
    if (kind === undefined) throw new Error(`the sandbox serves no ${of.plural}`);
    return kind;
  }

  #record(before: StoredObject | undefined, after: StoredObject, kind: Kind, subresource: string): void {
    const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
    recordUpdate(before, after, kind.schema, { manager: this.#manager, apiVersion, subresource });
  }
}

function changeOf<T extends KubeObject>({ type, object, previous }: StoreEvent): StoreChange<T> {
  return {
    type,
    object: object as unknown as T,
    ...(previous === undefined ? {} : { previous: previous as unknown as T }),
  };
}

/** The last finalizer went from an object that is to go. */
function isReleased(old: StoredObject, next: StoredObject): boolean {
  const finalizers = (object: StoredObject): number => (object.metadata.finalizers ?? []).length;
  return (
    old.metadata.deletionTimestamp !== undefined &&
    finalizers(old) > 0 &&
    finalizers(next) === 0 &&
    next.kind !== "Namespace" &&
    next.kind !== "Pod"
  );
}

function bare(object: StoredObject): Record<string, unknown> {
  const { metadata: _metadata, status: _status, ...rest } = object;
  return rest;
}

function newEvent(
  object: KubeObject,
  namespace: string,
  { type, reason, message, component }: { type: string; reason: string; message: string; component: string },
): KubeObject {
  const { name, uid, resourceVersion } = object.metadata;
  const now = timestamp();
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: {
      name: `${name}.${(BigInt(Date.now()) * 1_000_000n + BigInt(Math.floor(Math.random() * 1_000_000))).toString(16)}`,
      namespace,
    },
    involvedObject: {
      apiVersion: object.apiVersion,
      kind: object.kind,
      name,
      uid,
      resourceVersion,
      ...(object.metadata.namespace === undefined ? {} : { namespace }),
    },
    type,
    reason,
    message,
    source: { component },
    reportingComponent: component,
    reportingInstance: "",
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
}
