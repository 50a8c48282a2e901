/** DELETE: finalizers, grace periods of pods, propagation to dependents, namespaces that empty first. */
import type { User } from "./access.ts";
import type { AdmissionPlugin } from "./admission.ts";
import type { Kind } from "./kind.ts";
import { copy, fieldsAt, isFields, numberAt, type StoredObject, stringAt, timestamp } from "./object.ts";
import { badRequest, notFound, StatusError } from "./status.ts";
import type { ObjectStore } from "./store.ts";

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Foreground" | "Background" | "Orphan";
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly dryRun: boolean;
}

export const FOREGROUND_FINALIZER = "foregroundDeletion";
export const ORPHAN_FINALIZER = "orphan";

/** Reads a DeleteOptions body, completed by the query. @throws StatusError 400 */
export function deleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const fields = isFields(body) ? body : {};
  const grace =
    numberAt(fields, "gracePeriodSeconds") ??
    (query.has("gracePeriodSeconds") ? Number(query.get("gracePeriodSeconds")) : undefined);
  const policy = stringAt(fields, "propagationPolicy") ?? query.get("propagationPolicy") ?? undefined;
  if (policy !== undefined && policy !== "Foreground" && policy !== "Background" && policy !== "Orphan") {
    throw badRequest(`invalid propagationPolicy "${policy}": must be Foreground, Background or Orphan`);
  }
  const uid = stringAt(fields, "preconditions", "uid");
  const resourceVersion = stringAt(fields, "preconditions", "resourceVersion");
  const dryRun = Array.isArray(fields["dryRun"]) ? fields["dryRun"].includes("All") : query.get("dryRun") === "All";
  return {
    dryRun,
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy === undefined ? {} : { propagationPolicy: policy }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

export interface Deleted {
  readonly object: StoredObject;
  /** False: it is only marked to go. */
  readonly gone: boolean;
}

export class Deletion {
  readonly #store: ObjectStore;
  readonly #plugins: readonly AdmissionPlugin[];

  constructor(store: ObjectStore, plugins: readonly AdmissionPlugin[]) {
    this.#store = store;
    this.#plugins = plugins;
  }

  async delete(
    kind: Kind,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions,
    context: { readonly user: User; readonly warnings: string[] },
  ): Promise<Deleted> {
    this.#check(kind, namespace, name, options);
    for (const plugin of this.#plugins) {
      await plugin.validate?.({
        user: context.user,
        kind,
        namespace,
        name,
        subresource: "",
        operation: "DELETE",
        dryRun: options.dryRun,
        options: {
          apiVersion: "meta.k8s.io/v1",
          kind: "DeleteOptions",
          ...(options.dryRun ? { dryRun: ["All"] } : {}),
        },
        object: undefined,
        oldObject: this.#check(kind, namespace, name, options),
        warnings: context.warnings,
      });
    }
    return this.deleteNow(kind, this.#check(kind, namespace, name, options), options);
  }

  #check(kind: Kind, namespace: string | undefined, name: string, options: DeleteOptions): StoredObject {
    const present = this.#store.get(kind, namespace, name);
    if (present === undefined) throw notFound(kind, name);
    const { uid, resourceVersion } = present.metadata;
    const refuse = (field: string, wanted: string, is: string | undefined, happened: string): never => {
      const why = `the ${field} in the precondition (${wanted}) does not match the ${field} in record (${is}). The object might have been ${happened}`;
      const message = `Operation cannot be fulfilled on ${kind.kind} "${name}": ${why}`;
      throw new StatusError(409, "Conflict", message, { name, kind: kind.kind });
    };
    if (options.uid !== undefined && options.uid !== uid) {
      refuse("UID", options.uid, uid, "deleted and then recreated");
    }
    if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
      refuse("ResourceVersion", options.resourceVersion, resourceVersion, "modified");
    }
    return present;
  }

  /** Past admission. */
  deleteNow(kind: Kind, present: StoredObject, options: Partial<DeleteOptions>): Deleted {
    const next = copy(present);
    const { metadata } = next;
    const finalizers = new Set(metadata.finalizers ?? []);
    if (options.propagationPolicy === "Orphan") {
      finalizers.delete(FOREGROUND_FINALIZER);
      finalizers.add(ORPHAN_FINALIZER);
    } else if (options.propagationPolicy === "Foreground") {
      finalizers.delete(ORPHAN_FINALIZER);
      finalizers.add(FOREGROUND_FINALIZER);
    } else if (options.propagationPolicy === "Background") {
      finalizers.delete(FOREGROUND_FINALIZER);
      finalizers.delete(ORPHAN_FINALIZER);
    }
    if (finalizers.size > 0) metadata.finalizers = [...finalizers];
    else delete metadata.finalizers;

    const grace = kind.kind === "Pod" && kind.group === "" ? podGrace(present, options.gracePeriodSeconds) : 0;
    const isNamespace = kind.kind === "Namespace" && kind.group === "";
    const heldByNamespace =
      isNamespace &&
      Array.isArray(fieldsAt(present, "spec")["finalizers"]) &&
      (fieldsAt(present, "spec")["finalizers"] as unknown[]).length > 0;
    if (grace === 0 && finalizers.size === 0 && !heldByNamespace) {
      return { object: options.dryRun === true ? present : this.#store.delete(kind, present), gone: true };
    }
    const earlier = present.metadata.deletionGracePeriodSeconds;
    if (present.metadata.deletionTimestamp === undefined || (earlier !== undefined && grace < earlier)) {
      metadata.deletionTimestamp = timestamp(new Date(Date.now() + grace * 1000));
      metadata.deletionGracePeriodSeconds = grace;
      if (kind.generation) metadata.generation = (metadata.generation ?? 0) + 1;
      if (isNamespace) {
        next["status"] = { ...fieldsAt(next, "status"), phase: "Terminating" };
        delete metadata.deletionGracePeriodSeconds;
      }
    } else if (finalizers.size === (present.metadata.finalizers ?? []).length) {
      return { object: present, gone: false };
    }
    return { object: options.dryRun === true ? next : this.#store.update(kind, next, present), gone: false };
  }
}

/** Seconds; 0 where no kubelet has to end anything first. */
function podGrace(pod: StoredObject, asked: number | undefined): number {
  const phase = stringAt(pod, "status", "phase");
  if ((stringAt(pod, "spec", "nodeName") ?? "") === "" || phase === "Succeeded" || phase === "Failed") return 0;
  return Math.max(0, asked ?? numberAt(pod, "spec", "terminationGracePeriodSeconds") ?? 30);
}
