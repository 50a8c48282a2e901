/** Events on workloads: pods that were injected or were to be, and the control plane's own about its issuer. */
import { randomBytes } from "node:crypto";
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject } from "../../kube/types.ts";
import { type Log, messageOf } from "../config/log.ts";
import type { Owner } from "./owner.ts";

/** Names that Linkerd's dashboards and alerts know (reference 3.2, 5.4). */
export type EventReason = "Injected" | "InjectionSkipped" | "IssuerUpdated" | "IssuerValidationFailed";

const WARNINGS: readonly EventReason[] = ["IssuerValidationFailed"];

/** The same event of the same workload is written once in this time: a Deployment of 100 pods says it once. */
const REPEAT_AFTER_MS = 60_000;
const MAX_REMEMBERED = 5_000;
const MAX_MESSAGE = 1024;
const REPORTER = "weft-controller";

export class WorkloadEvents {
  readonly #client: KubeClient;
  readonly #reporter: string;
  readonly #log: Log;
  readonly #told = new Map<string, number>();

  /** @param reporter this pod's name */
  constructor(client: KubeClient, reporter: string, log: Log) {
    this.#client = client;
    this.#reporter = reporter;
    this.#log = log;
  }

  /** Returns at once; an event that cannot be written is only logged. */
  emit(namespace: string, owner: Owner, reason: EventReason, message: string): void {
    const key = `${owner.uid} ${reason} ${message}`;
    const now = performance.now();
    const toldAt = this.#told.get(key);
    if (toldAt !== undefined && now - toldAt < REPEAT_AFTER_MS) return;
    if (this.#told.size >= MAX_REMEMBERED) this.#told.clear();
    this.#told.set(key, now);
    const time = new Date().toISOString().replace(/\.\d+/, "");
    const event: KubeObject = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${owner.name}.${randomBytes(8).toString("hex")}`, namespace },
      involvedObject: { apiVersion: owner.apiVersion, kind: owner.kind, name: owner.name, namespace, uid: owner.uid },
      reason,
      message: message.slice(0, MAX_MESSAGE),
      type: WARNINGS.includes(reason) ? "Warning" : "Normal",
      source: { component: REPORTER },
      reportingComponent: REPORTER,
      reportingInstance: this.#reporter,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    };
    this.#client.create(resource.events, event).catch((error: unknown) => {
      this.#log.debug("event not written", { namespace, workload: owner.name, reason: messageOf(error) });
    });
  }
}
