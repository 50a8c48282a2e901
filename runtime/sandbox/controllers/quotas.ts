/** What ResourceQuotas show as used. */
import { resource } from "../../kube/resources.ts";
import { countedPods } from "../api/admission/resource-quota.ts";
import { resourceQuotas } from "../api/kinds/quotas.ts";
import { fieldsAt, keyOf, type StoredObject } from "../api/object.ts";
import type { ObjectStore } from "../api/store.ts";
import { type Controller, type ControllerContext, parseKey, WorkQueue } from "./queue.ts";

export function startQuotas({ api, report }: ControllerContext, store: ObjectStore): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const stops = [
    api.watch(resourceQuotas, ({ object }) => queue.add(keyOf(object.metadata.namespace, object.metadata.name))),
    api.watch(resource.pods, ({ object }) => {
      for (const quota of api.list(resourceQuotas, object.metadata.namespace)) {
        queue.add(keyOf(quota.metadata.namespace, quota.metadata.name));
      }
    }),
  ];

  function reconcile(key: string): void {
    const { namespace = "", name } = parseKey(key);
    if (api.get(resourceQuotas, name, namespace) === undefined) return;
    api.update<StoredObject>(
      resourceQuotas,
      name,
      namespace,
      (draft) => {
        draft["status"] = {
          hard: fieldsAt(draft, "spec", "hard"),
          used: { pods: String(countedPods(store, namespace)) },
        };
      },
      "status",
    );
  }

  return {
    stop() {
      for (const stop of stops) stop();
      queue.stop();
    },
  };
}
