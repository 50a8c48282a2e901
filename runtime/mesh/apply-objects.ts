/** Plans and applies objects by server-side apply, so that fields of others stay as they are. */
import { hasStatus, KubeError } from "../kube/errors.ts";
import { resourceOf } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";
import { INSTALLER_FIELD_MANAGER } from "../model/names.ts";
import { concurrently } from "./concurrently.ts";
import { differences, summarize } from "./diff.ts";
import { MeshError } from "./errors.ts";
import { type Progress, subjectOf } from "./progress.ts";
import type { PlannedObject } from "./types.ts";

/**
 * Compares each object with the cluster by a dry run of the apply, so the server's own defaults count.
 * @param missingNamespaces namespaces that the plan itself creates: their objects cannot be tried yet
 */
export async function planObjects(
  client: KubeClient,
  objects: readonly KubeObject[],
  missingNamespaces: ReadonlySet<string>,
): Promise<PlannedObject[]> {
  return await concurrently(objects, async (object) => {
    const { name, namespace } = object.metadata;
    const planned = {
      apiVersion: object.apiVersion,
      kind: object.kind,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      object,
    };
    if (namespace !== undefined && missingNamespaces.has(namespace)) return { ...planned, action: "create" };
    try {
      const resource = resourceOf(object);
      const before = await client.find(resource, name, namespace);
      const after = await apply(client, object, true);
      if (before === undefined) return { ...planned, action: "create" };
      const changes = differences(before, after);
      if (changes.length === 0) return { ...planned, action: "unchanged" };
      return { ...planned, action: "update", detail: summarize(changes) };
    } catch (error) {
      throw explainApply(error, planned);
    }
  });
}

/** Applies what a plan creates or updates, and deletes what it deletes, one after the other. */
export async function applyPlanned(
  client: KubeClient,
  objects: readonly PlannedObject[],
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const planned of objects) {
    signal?.throwIfAborted();
    await progress.step(subjectOf(planned), async () => {
      if (planned.action === "delete") {
        await client.delete(resourceOf(planned), planned.name, planned.namespace);
        return "deleted";
      }
      if (planned.object === undefined || planned.action === "unchanged") return "unchanged";
      try {
        await apply(client, planned.object, false, signal);
      } catch (error) {
        throw explainApply(error, planned);
      }
      return planned.action === "create" ? "created" : "updated";
    });
  }
}

/** Steps that {@link applyPlanned} makes of a plan. */
export function isApplied(planned: PlannedObject): boolean {
  return planned.action === "create" || planned.action === "update" || planned.action === "delete";
}

async function apply(
  client: KubeClient,
  object: KubeObject,
  dryRun: boolean,
  signal?: AbortSignal,
): Promise<KubeObject> {
  return await client.apply(resourceOf(object), object, {
    fieldManager: INSTALLER_FIELD_MANAGER,
    // What a person edited by hand in an object of ours is set back; the plan has shown it.
    force: true,
    dryRun,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** An apply's refusal as a person should read it. */
function explainApply(error: unknown, planned: Pick<PlannedObject, "kind" | "name" | "namespace">): unknown {
  if (!(error instanceof KubeError)) return error;
  const subject = subjectOf(planned);
  if (hasStatus(error, 403)) {
    return new MeshError(`${subject} may not be applied: ${error.message}`, "Ask an administrator of this cluster.", {
      cause: error,
    });
  }
  return new MeshError(`${subject} was refused: ${error.message}`, undefined, { cause: error });
}
