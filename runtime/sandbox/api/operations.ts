/** The verbs that write, over any kind: decode, default, admit, validate, store (apiserver's registry.Store). */
import { apiVersionOf } from "../../kube/resources.ts";
import type { User } from "./access.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";
import { decode } from "./decode.ts";
import type { Kind } from "./kind.ts";
import { applyConfiguration, recordUpdate, type Writer } from "./managed-fields.ts";
import { copy, isFields, randomSuffix, type StoredMeta, type StoredObject, same } from "./object.ts";
import {
  asCreated,
  isFinished,
  mergeBySubresource,
  onlySubresource,
  placeInNamespace,
  SERVER_FIELDS,
  sameOwners,
  validateMeta,
  withoutMetaAndStatus,
  withoutOwners,
} from "./object-rules.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  invalid,
  modified,
  notFound,
  notImplemented,
  qualified,
  StatusError,
} from "./status.ts";
import type { ObjectStore } from "./store.ts";

/** What a write may say in its query and headers. */
export interface WriteContext {
  readonly user: User;
  readonly manager: string;
  readonly dryRun: boolean;
  readonly fieldValidation: "Ignore" | "Warn" | "Strict";
  /** Filled for the answer's Warning headers. */
  readonly warnings: string[];
}

export interface Target {
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly name: string;
  /** "", "status", "finalize", … */
  readonly subresource: string;
}

/** Sets what only the server knows before a new object is admitted, e.g. a Service's ClusterIP. */
export interface Allocator {
  /** @returns takes the allocation back (dry runs, refusals) */
  allocate(kind: Kind, object: StoredObject, old: StoredObject | undefined): (() => void) | undefined;
}

/** How often a patch is made anew when somebody writes in between. */
const TRIES = 10;

export class Operations {
  readonly store: ObjectStore;
  readonly #plugins: readonly AdmissionPlugin[];
  readonly #allocator: Allocator;

  constructor(store: ObjectStore, plugins: readonly AdmissionPlugin[], allocator: Allocator) {
    this.store = store;
    this.#plugins = plugins;
    this.#allocator = allocator;
  }

  get(target: Target): StoredObject {
    const found = this.store.get(target.kind, target.namespace, target.name);
    if (found === undefined) throw notFound(target.kind, target.name);
    return found;
  }

  async create(
    target: Omit<Target, "name" | "subresource">,
    body: unknown,
    context: WriteContext,
  ): Promise<StoredObject> {
    const { kind, namespace } = target;
    const object = this.#decode(kind, body, context);
    return await this.#create(kind, namespace, object, context, (made) =>
      recordUpdate(undefined, made, kind.schema, this.#writer(kind, "", context)),
    );
  }

  async #create(
    kind: Kind,
    namespace: string | undefined,
    object: StoredObject,
    context: WriteContext,
    record: (object: StoredObject) => void,
  ): Promise<StoredObject> {
    if (kind.inert) throw notImplemented(`${qualified(kind)}: nothing here acts on them`);
    const { metadata } = object;
    placeInNamespace(kind, metadata, namespace);
    if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== "") {
      // So the real one says it: 500, without a reason.
      throw new StatusError(500, "", "resourceVersion should not be set on objects to be created");
    }
    const generated = metadata.name === "" && metadata.generateName !== undefined && metadata.generateName !== "";
    for (const field of SERVER_FIELDS) delete metadata[field];
    if (kind.status) delete object["status"];
    if (kind.generation) metadata.generation = 1;

    for (let attempt = 1; ; attempt++) {
      const made = copy(object);
      if (generated) made.metadata.name = `${metadata.generateName}${randomSuffix()}`;
      const taken = this.store.get(kind, namespace, made.metadata.name) !== undefined;
      if (taken && generated && attempt < TRIES) continue;
      return await this.#admitAndStore(kind, made, undefined, "", context, "CREATE", record);
    }
  }

  async update(target: Target, body: unknown, context: WriteContext): Promise<StoredObject> {
    const { kind, namespace, name, subresource } = target;
    const object = this.#decode(kind, body, context);
    if (object.metadata.name !== name) {
      throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`);
    }
    placeInNamespace(kind, object.metadata, namespace);
    const old = this.get(target);
    return await this.#replace(kind, old, object, subresource, context);
  }

  /** Makes the new object of the present one, anew for every concurrent write in between. */
  async patch(
    target: Target,
    change: (present: StoredObject) => unknown,
    context: WriteContext,
  ): Promise<StoredObject> {
    for (let attempt = 1; ; attempt++) {
      const old = this.get(target);
      const patched = change(old);
      if (!isFields(patched)) throw badRequest("the patch leaves no object");
      const object = this.#decode(target.kind, patched, context);
      if (object.metadata.name !== target.name) throw badRequest("the name of the object may not be patched");
      // A patch that names a version means just that one.
      const pinned = object.metadata.resourceVersion !== old.metadata.resourceVersion;
      try {
        return await this.#replace(target.kind, old, object, target.subresource, context);
      } catch (error) {
        const raced =
          error instanceof StatusError &&
          error.status === 409 &&
          this.store.get(target.kind, target.namespace, target.name) !== old;
        if (!raced || pinned || attempt === TRIES) throw error;
      }
    }
  }

  /** Server-side apply; creates what is not there. `created` tells 201 from 200. */
  async apply(
    target: Target,
    body: unknown,
    context: WriteContext,
    force: boolean,
  ): Promise<{ object: StoredObject; created: boolean }> {
    const { kind, namespace, name, subresource } = target;
    const config = this.#decode(kind, body, context);
    if (config.metadata.managedFields !== undefined) throw badRequest("metadata.managedFields must be nil");
    if (config.metadata.name === "") config.metadata.name = name;
    if (config.metadata.name !== name) {
      throw badRequest(`the name of the object (${config.metadata.name}) does not match the name on the URL (${name})`);
    }
    placeInNamespace(kind, config.metadata, namespace);
    const writer = this.#writer(kind, subresource, context);
    for (let attempt = 1; ; attempt++) {
      const live = this.store.get(kind, namespace, name);
      if (live === undefined) {
        if (subresource !== "") throw notFound(kind, name);
        if ((config.metadata.uid ?? "") !== "") {
          throw conflict(
            kind,
            name,
            `uid mismatch: the provided object specified uid ${config.metadata.uid}, and no existing object was found`,
          );
        }
        const { object } = applyConfiguration(undefined, config, kind.schema, writer, force);
        const owners = object.metadata.managedFields;
        const created = await this.#create(kind, namespace, object, context, (made) => {
          if (owners !== undefined) made.metadata.managedFields = owners;
        });
        return { object: created, created: true };
      }
      const wanted = config.metadata.resourceVersion;
      if (wanted !== undefined && wanted !== live.metadata.resourceVersion) throw modified(kind, name);
      const visible = onlySubresource(config, live, kind, subresource);
      const { object, changed } = applyConfiguration(live, visible, kind.schema, writer, force);
      if (!changed) return { object: live, created: false };
      try {
        return { object: await this.#replace(kind, live, object, subresource, context, true), created: false };
      } catch (error) {
        const raced =
          error instanceof StatusError && error.status === 409 && this.store.get(kind, namespace, name) !== live;
        if (!raced || attempt === TRIES) throw error;
      }
    }
  }

  async #replace(
    kind: Kind,
    old: StoredObject,
    object: StoredObject,
    subresource: string,
    context: WriteContext,
    applied = false,
  ): Promise<StoredObject> {
    const { metadata } = object;
    if (
      metadata.resourceVersion !== undefined &&
      metadata.resourceVersion !== "" &&
      metadata.resourceVersion !== old.metadata.resourceVersion
    ) {
      throw modified(kind, metadata.name);
    }
    if (metadata.uid !== undefined && metadata.uid !== "" && metadata.uid !== old.metadata.uid) {
      throw conflict(
        kind,
        metadata.name,
        `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`,
      );
    }
    const next = mergeBySubresource(object, old, kind, subresource);
    return await this.#admitAndStore(kind, next, old, subresource, context, "UPDATE", (made) => {
      if (!applied) recordUpdate(old, made, kind.schema, this.#writer(kind, subresource, context));
    });
  }

  async #admitAndStore(
    kind: Kind,
    object: StoredObject,
    old: StoredObject | undefined,
    subresource: string,
    context: WriteContext,
    operation: "CREATE" | "UPDATE",
    record: (object: StoredObject) => void,
  ): Promise<StoredObject> {
    kind.defaults(object);
    const request: AdmissionRequest = {
      user: context.user,
      kind,
      namespace: object.metadata.namespace,
      name: object.metadata.name,
      subresource,
      operation,
      dryRun: context.dryRun,
      options: {
        apiVersion: "meta.k8s.io/v1",
        kind: operation === "CREATE" ? "CreateOptions" : "UpdateOptions",
        ...(context.dryRun ? { dryRun: ["All"] } : {}),
        ...(context.manager === "" ? {} : { fieldManager: context.manager }),
      },
      object,
      oldObject: old,
      warnings: context.warnings,
    };
    for (const plugin of this.#plugins) await plugin.mutate?.(request);
    const admitted = request.object ?? object;
    kind.defaults(admitted);
    if (
      old === undefined &&
      admitted.metadata.name !== "" &&
      this.store.get(kind, admitted.metadata.namespace, admitted.metadata.name)
    ) {
      throw alreadyExists(kind, admitted.metadata.name);
    }
    const release = this.#allocator.allocate(kind, admitted, old);
    try {
      const errors = subresource === "" ? [...validateMeta(kind, admitted), ...kind.validate(admitted)] : [];
      if (old !== undefined && subresource === "") errors.push(...kind.validateUpdate(admitted, old));
      if (errors.length > 0) throw invalid(kind, admitted.metadata.name, errors);
      for (const plugin of this.#plugins) await plugin.validate?.(request);
      return this.#store(kind, admitted, old, context.dryRun, record, release);
    } catch (error) {
      release?.();
      throw error;
    }
  }

  #store(
    kind: Kind,
    object: StoredObject,
    old: StoredObject | undefined,
    dryRun: boolean,
    record: (object: StoredObject) => void,
    release: (() => void) | undefined,
  ): StoredObject {
    if (old === undefined) {
      record(object);
      if (!dryRun) return this.store.create(kind, object);
      release?.();
      return asCreated(object);
    }
    if (kind.generation && !same(withoutMetaAndStatus(object), withoutMetaAndStatus(old))) {
      object.metadata.generation = (old.metadata.generation ?? 0) + 1;
    }
    // The last finalizer of an object that is to go went: so does the object.
    if (old.metadata.deletionTimestamp !== undefined && isFinished(object)) {
      return dryRun ? object : this.store.delete(kind, old);
    }
    const unchanged = same(withoutOwners(object), withoutOwners(old));
    record(object);
    // What changes nothing is not written: no new version, no event.
    if (unchanged && sameOwners(object.metadata.managedFields, old.metadata.managedFields)) return old;
    return dryRun ? object : this.store.update(kind, object, old);
  }

  #decode(kind: Kind, body: unknown, context: WriteContext): StoredObject {
    if (!isFields(body))
      throw badRequest(`the object provided is unrecognized (must be of type ${kind.kind}): couldn't get version/kind`);
    const wanted = apiVersionOf(kind);
    const apiVersion = body["apiVersion"] ?? wanted;
    const kindName = body["kind"] ?? kind.kind;
    if (apiVersion !== wanted || kindName !== kind.kind) {
      throw badRequest(
        `${String(kindName)} in version "${String(apiVersion)}" cannot be handled as a ${kind.kind}: unknown conversion`,
      );
    }
    const refusal = `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}`;
    const { object, unknown } = kind.decode?.(body) ?? decode(body, kind.schema, refusal);
    if (unknown.length > 0 && context.fieldValidation === "Strict") {
      throw badRequest(
        `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: strict decoding error: ${unknown.join(", ")}`,
      );
    }
    if (context.fieldValidation === "Warn") context.warnings.push(...unknown);
    const metadata = (object["metadata"] ?? {}) as StoredMeta;
    metadata.name ??= "";
    return { ...object, apiVersion: wanted, kind: kind.kind, metadata };
  }

  #writer(kind: Kind, subresource: string, context: WriteContext): Writer {
    return { manager: context.manager, apiVersion: apiVersionOf(kind), subresource };
  }
}
