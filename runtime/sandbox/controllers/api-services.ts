/** Whether the servers behind APIServices answer: their Available condition, which proxying and namespaces' ends go by. */
import { resource } from "../../kube/resources.ts";
import type { Aggregation, Availability } from "../api/aggregation.ts";
import { type Fields, fieldsAt, isFields, listAt, type StoredObject, timestamp } from "../api/object.ts";
import { type Controller, type ControllerContext, WorkQueue } from "./queue.ts";

const RECHECK_MS = 30_000;
const RECHECK_FAILED_MS = 1_000;

export function startApiServices({ api, report }: ControllerContext, aggregation: Aggregation): Controller {
  const queue = new WorkQueue((name) => reconcile(name), report);
  const behind = (namespace: string | undefined, name: string | undefined): void => {
    for (const service of api.list<StoredObject>(resource.apiServices)) {
      const target = fieldsAt(service, "spec", "service");
      if (target["namespace"] === namespace && target["name"] === name) queue.add(service.metadata.name);
    }
  };
  const stops = [
    api.watch<StoredObject>(resource.apiServices, ({ object, previous, type }) => {
      // Its own status is what this controller writes.
      const unchanged = previous !== undefined && previous["spec"] === object["spec"];
      if (type !== "deleted" && !unchanged) queue.add(object.metadata.name);
    }),
    api.watch(resource.services, ({ object }) => behind(object.metadata.namespace, object.metadata.name)),
    api.watch(resource.endpointSlices, ({ object }) =>
      behind(object.metadata.namespace, object.metadata.labels?.["kubernetes.io/service-name"]),
    ),
  ];

  async function reconcile(name: string): Promise<void> {
    const service = api.get<StoredObject>(resource.apiServices, name);
    if (service === undefined) return;
    const remote = isFields(fieldsAt(service, "spec")["service"]);
    const found: Availability = remote
      ? await aggregation.probe(service)
      : { available: true, reason: "Local", message: "Local APIServices are always available" };
    if (api.get(resource.apiServices, name) === undefined) return;
    api.update<StoredObject>(resource.apiServices, name, undefined, (draft) => write(draft, found), "status");
    if (remote) queue.addAfter(name, found.available ? RECHECK_MS : RECHECK_FAILED_MS);
  }

  return {
    stop() {
      for (const stop of stops) stop();
      queue.stop();
    },
  };
}

function write(service: StoredObject, { available, reason, message }: Availability): void {
  const status = available ? "True" : "False";
  const conditions = listAt(service, "status", "conditions");
  const last: Fields | undefined = conditions.find((entry) => entry["type"] === "Available");
  const since = last?.["status"] === status ? last["lastTransitionTime"] : timestamp();
  const others = conditions.filter((entry) => entry !== last);
  service["status"] = {
    ...fieldsAt(service, "status"),
    conditions: [...others, { type: "Available", status, reason, message, lastTransitionTime: since }],
  };
}
