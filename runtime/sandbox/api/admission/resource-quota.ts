/** ResourceQuotas over the number of pods in a namespace: the one limit that keeps a restart from ending. */

import { resource } from "../../../kube/resources.ts";
import type { AdmissionPlugin } from "../admission.ts";
import { resourceQuotas } from "../kinds/quotas.ts";
import { fieldsAt, type StoredObject, stringAt } from "../object.ts";
import { forbidden } from "../status.ts";
import type { ObjectStore } from "../store.ts";

export function resourceQuota(store: ObjectStore): AdmissionPlugin {
  return {
    validate({ kind, namespace, name, operation, subresource }) {
      if (kind.kind !== "Pod" || operation !== "CREATE" || subresource !== "" || namespace === undefined) return;
      for (const quota of store.snapshot(resourceQuotas, namespace).objects) {
        const limit = fieldsAt(quota, "spec", "hard")["pods"];
        if (limit === undefined) continue;
        const used = countedPods(store, namespace);
        if (used + 1 <= Number(limit)) continue;
        const why = `exceeded quota: ${quota.metadata.name}, requested: pods=1, used: pods=${used}, limited: pods=${String(limit)}`;
        throw forbidden(kind, name, why);
      }
    },
  };
}

/** Pods that have not ended. */
export function countedPods(store: ObjectStore, namespace: string): number {
  const ended = (pod: StoredObject): boolean =>
    ["Succeeded", "Failed"].includes(stringAt(pod, "status", "phase") ?? "");
  return store.snapshot(resource.pods, namespace).objects.filter((pod) => !ended(pod)).length;
}
