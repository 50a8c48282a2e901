/** A namespace's life: what every one holds from its start, and how it empties at its end. */
import { resource } from "../../kube/resources.ts";
import type { ApiServer } from "../api/api-server.ts";
import { copy, type Fields, fieldsAt, listAt, type StoredObject, timestamp } from "../api/object.ts";
import { type Controller, type ControllerContext, WorkQueue } from "./queue.ts";

const ROOT_CA = "kube-root-ca.crt";
const RECHECK_MS = 500;

export function startNamespaces({ api, report }: ControllerContext, server: ApiServer, ca: string): Controller {
  const queue = new WorkQueue((key) => reconcile(key), report);
  const stops = [
    api.watch(resource.namespaces, ({ object, type }) => {
      if (type !== "deleted") queue.add(object.metadata.name);
    }),
    // Somebody removed one of them: it comes back.
    api.watch(resource.serviceAccounts, ({ object, type }) => {
      if (type === "deleted" && object.metadata.name === "default") queue.add(object.metadata.namespace ?? "");
    }),
    api.watch(resource.configMaps, ({ object }) => {
      if (object.metadata.name === ROOT_CA) queue.add(object.metadata.namespace ?? "");
    }),
  ];

  function reconcile(name: string): void {
    const namespace = api.get<StoredObject>(resource.namespaces, name);
    if (namespace === undefined) return;
    if (namespace.metadata.deletionTimestamp === undefined) furnish(name);
    else empty(namespace);
  }

  function furnish(namespace: string): void {
    if (api.get(resource.serviceAccounts, "default", namespace) === undefined) {
      api.create(resource.serviceAccounts, {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "default", namespace },
      });
    }
    const data = { "ca.crt": ca };
    if (api.get(resource.configMaps, ROOT_CA, namespace) === undefined) {
      api.create(resource.configMaps, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: ROOT_CA, namespace },
        data,
      });
    } else {
      api.update<StoredObject>(resource.configMaps, ROOT_CA, namespace, (draft) => {
        draft["data"] = data;
      });
    }
  }

  function empty(namespace: StoredObject): void {
    const name = namespace.metadata.name;
    let left = 0;
    const finalizers = new Map<string, number>();
    for (const kind of server.registry.stored()) {
      if (!kind.namespaced) continue;
      for (const object of server.store.snapshot(kind, name).objects) {
        if (object.metadata.deletionTimestamp === undefined) {
          server.deletion.deleteNow(kind, object, { propagationPolicy: "Background" });
        }
        if (server.store.get(kind, name, object.metadata.name) === undefined) continue;
        left++;
        for (const finalizer of object.metadata.finalizers ?? [])
          finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
      }
    }
    // What an unavailable API server holds in this namespace nobody can know.
    const unavailable = unavailableServices();
    if (left === 0 && unavailable.length === 0) finalize(namespace);
    else {
      writeConditions(name, left, finalizers, unavailable);
      queue.addAfter(name, RECHECK_MS);
    }
  }

  function unavailableServices(): string[] {
    return api.list<StoredObject>(resource.apiServices).flatMap((service) => {
      if (fieldsAt(service, "spec")["service"] === undefined) return [];
      const condition = listAt(service, "status", "conditions").find((entry) => entry["type"] === "Available");
      const { group, version } = fieldsAt(service, "spec");
      return condition?.["status"] === "True" ? [] : [`${String(group)}/${String(version)}`];
    });
  }

  function finalize(namespace: StoredObject): void {
    const kind = server.registry.find("", "v1", "namespaces");
    if (kind === undefined) return;
    const next = copy(namespace);
    const spec = fieldsAt(next, "spec");
    const rest = (Array.isArray(spec["finalizers"]) ? (spec["finalizers"] as string[]) : []).filter(
      (entry) => entry !== "kubernetes",
    );
    if (rest.length === 0 && (namespace.metadata.finalizers ?? []).length === 0) server.store.delete(kind, namespace);
    else if (rest.length < ((spec["finalizers"] as string[] | undefined) ?? []).length) {
      next["spec"] = { ...spec, finalizers: rest };
      server.store.update(kind, next, namespace);
    }
  }

  function writeConditions(
    name: string,
    left: number,
    finalizers: ReadonlyMap<string, number>,
    unavailable: readonly string[],
  ): void {
    const discovery = unavailable.map((entry) => `${entry}: stale GroupVersion discovery: ${entry}`).join(", ");
    const wanted: Fields[] = [
      unavailable.length > 0
        ? fact(
            "NamespaceDeletionDiscoveryFailure",
            "True",
            "DiscoveryFailed",
            `Discovery failed for some groups, ${unavailable.length} failing: unable to retrieve the complete list of server APIs: ${discovery}`,
          )
        : fact(
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
          ),
      left > 0
        ? fact("NamespaceContentRemaining", "True", "SomeResourcesRemain", `Some resources are remaining: ${left}`)
        : fact("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"),
      finalizers.size > 0
        ? fact(
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            `Some content in the namespace has finalizers remaining: ${[...finalizers].map(([key, count]) => `${key} in ${count} resource instances`).join(", ")}`,
          )
        : fact(
            "NamespaceFinalizersRemaining",
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
          ),
    ];
    api.update<StoredObject>(
      resource.namespaces,
      name,
      undefined,
      (draft) => {
        const before = listAt(draft, "status", "conditions");
        const conditions = wanted.map((entry) => {
          const last = before.find((other) => other["type"] === entry["type"]);
          const unchanged = last !== undefined && last["status"] === entry["status"];
          return unchanged ? { ...entry, lastTransitionTime: last["lastTransitionTime"] } : entry;
        });
        draft["status"] = { ...fieldsAt(draft, "status"), conditions };
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

function fact(type: string, status: string, reason: string, message: string): Fields {
  return { type, status, reason, message, lastTransitionTime: timestamp() };
}
