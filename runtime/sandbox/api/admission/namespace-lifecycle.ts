/** Nothing is made in a namespace that is not there or goes; some namespaces never go. */
import { resource } from "../../../kube/resources.ts";
import type { AdmissionPlugin } from "../admission.ts";
import { forbidden, notFound, StatusError } from "../status.ts";
import type { ObjectStore } from "../store.ts";

export const PERMANENT_NAMESPACES = ["default", "kube-system", "kube-public"];

export function namespaceLifecycle(store: ObjectStore): AdmissionPlugin {
  return {
    mutate({ kind, namespace, name, operation, object }) {
      if (operation === "CREATE" && kind.kind === "Namespace" && object !== undefined) {
        object["spec"] = { finalizers: ["kubernetes"] };
        object["status"] = { phase: "Active" };
      }
      if (operation !== "CREATE" || !kind.namespaced || namespace === undefined) return;
      const found = store.get(resource.namespaces, undefined, namespace);
      if (found === undefined) throw notFound(resource.namespaces, namespace);
      if (found.metadata.deletionTimestamp === undefined) return;
      const refusal = forbidden(
        kind,
        name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
      throw new StatusError(403, "Forbidden", refusal.message, {
        ...refusal.details,
        causes: [
          {
            reason: "NamespaceTerminating",
            message: `namespace ${namespace} is being terminated`,
            field: "metadata.namespace",
          },
        ],
      });
    },
    validate({ kind, name, operation }) {
      if (operation !== "DELETE" || kind.kind !== "Namespace" || !PERMANENT_NAMESPACES.includes(name)) return;
      throw forbidden(kind, name, "this namespace may not be deleted");
    },
  };
}
