/** Makes CustomResourceDefinitions take effect, and takes their objects away when they go. */
import { resource } from "../../kube/resources.ts";
import type { ApiServer } from "../api/api-server.ts";
import { customKinds } from "../api/custom-kinds.ts";
import type { Kind } from "../api/kind.ts";
import { copy, type Fields, fieldsAt, listAt, type StoredObject, timestamp } from "../api/object.ts";
import { type Controller, type ControllerContext, WorkQueue } from "./queue.ts";

const CLEANUP = "customresourcecleanup.apiextensions.k8s.io";

/** @param follow told of every kind that is new, so that its objects are collected with their owners */
export function startCustomDefinitions(
  { api, report }: ControllerContext,
  server: ApiServer,
  follow: (kind: Kind) => void,
): Controller {
  const queue = new WorkQueue((name) => reconcile(name), report);
  const stop = api.watch<StoredObject>(resource.customResourceDefinitions, ({ object, type }) => {
    if (type === "deleted") server.registry.setCustom(object.metadata.name, []);
    else queue.add(object.metadata.name);
  });

  function reconcile(name: string): void {
    const definition = api.get<StoredObject>(resource.customResourceDefinitions, name);
    if (definition === undefined) return;
    const kinds = customKinds(definition);
    if (definition.metadata.deletionTimestamp !== undefined) {
      cleanUp(definition, kinds);
      return;
    }
    server.registry.setCustom(name, kinds);
    for (const kind of kinds) follow(kind);
    if (!(definition.metadata.finalizers ?? []).includes(CLEANUP)) {
      api.update<StoredObject>(resource.customResourceDefinitions, name, undefined, (draft) => {
        draft.metadata.finalizers = [...(draft.metadata.finalizers ?? []), CLEANUP];
      });
    }
    api.update<StoredObject>(resource.customResourceDefinitions, name, undefined, establish, "status");
  }

  function cleanUp(definition: StoredObject, kinds: readonly Kind[]): void {
    const [kind] = kinds;
    if (kind !== undefined) {
      for (const object of server.store.snapshot(kind).objects) {
        if (object.metadata.deletionTimestamp === undefined) server.deletion.deleteNow(kind, object, {});
      }
      if (server.store.snapshot(kind).objects.length > 0) {
        queue.addAfter(definition.metadata.name, 500);
        return;
      }
    }
    const own = server.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    if (own === undefined) return;
    const next = copy(definition);
    next.metadata.finalizers = (next.metadata.finalizers ?? []).filter((entry) => entry !== CLEANUP);
    if (next.metadata.finalizers.length === 0) server.store.delete(own, definition);
    else server.store.update(own, next, definition);
  }

  return {
    stop() {
      stop();
      queue.stop();
    },
  };
}

function establish(definition: StoredObject): void {
  const before = listAt(definition, "status", "conditions");
  const condition = (type: string, reason: string, message: string): Fields => {
    const last = before.find((entry) => entry["type"] === type);
    return { type, status: "True", reason, message, lastTransitionTime: last?.["lastTransitionTime"] ?? timestamp() };
  };
  const stored = listAt(definition, "spec", "versions").filter((version) => version["storage"] === true);
  definition["status"] = {
    acceptedNames: copy(fieldsAt(definition, "spec", "names")),
    conditions: [
      condition("NamesAccepted", "NoConflicts", "no conflicts found"),
      condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ],
    storedVersions: stored.map((version) => version["name"]),
  };
}
