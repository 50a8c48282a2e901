/** ClusterRoles that collect the rules of others (aggregationRule). */
import { resource } from "../../kube/resources.ts";
import type { StoredObject } from "../api/object.ts";
import { aggregatedRules } from "../api/rbac.ts";
import { type Controller, type ControllerContext, WorkQueue } from "./queue.ts";

export function startClusterRoles({ api, report }: ControllerContext): Controller {
  const queue = new WorkQueue((name) => reconcile(name), report);
  const stop = api.watch<StoredObject>(resource.clusterRoles, () => {
    for (const role of api.list<StoredObject>(resource.clusterRoles)) {
      if (role["aggregationRule"] !== undefined) queue.add(role.metadata.name);
    }
  });

  function reconcile(name: string): void {
    const role = api.get<StoredObject>(resource.clusterRoles, name);
    if (role === undefined) return;
    const rules = aggregatedRules(role, api.list<StoredObject>(resource.clusterRoles));
    if (rules === undefined) return;
    api.update<StoredObject>(resource.clusterRoles, name, undefined, (draft) => {
      draft["rules"] = rules;
    });
  }

  return {
    stop() {
      stop();
      queue.stop();
    },
  };
}
