/** Which pods a tap is of, now and as they come and go. */
import { annotation } from "../../model/names.ts";
import { isLive, type PodView } from "../viz/pod-view.ts";
import { StatusError } from "../viz/status.ts";
import type { Topology } from "../viz/topology.ts";
import type { TapTarget } from "./tap-request.ts";

const KINDS: Readonly<Record<string, string>> = {
  pods: "Pod",
  services: "Service",
  deployments: "Deployment",
  statefulsets: "StatefulSet",
  daemonsets: "DaemonSet",
  replicasets: "ReplicaSet",
  replicationcontrollers: "ReplicationController",
  jobs: "Job",
  cronjobs: "CronJob",
};
/** Kinds whose objects are known, so that a name that is none can be told. */
const LISTED = ["Pod", "Service", "Deployment", "StatefulSet", "DaemonSet"] as const;

export class TapTargets {
  readonly #topology: Topology;
  readonly #target: TapTarget;
  readonly #mesh: string;
  readonly #selects: (labels: Readonly<Record<string, string>>) => boolean;

  /** @throws StatusError BadRequest where the label selector cannot be read */
  constructor(topology: Topology, target: TapTarget, mesh: string, labelSelector: string) {
    this.#topology = topology;
    this.#target = target;
    this.#mesh = mesh;
    this.#selects = parseLabelSelector(labelSelector);
  }

  /** Pods that can be tapped. */
  tappable(): PodView[] {
    return this.#all().filter((pod) => this.#isMeshed(pod) && !this.#isDisabled(pod) && pod.ip !== undefined);
  }

  /** @throws StatusError NotFound where there is no such thing, or none of its pods can be tapped */
  check(): void {
    const { namespace, resource, name } = this.#target;
    const what = `${resource}/${name}${resource === "namespaces" ? "" : ` in namespace "${namespace}"`}`;
    const kind = LISTED.find((listed) => listed === KINDS[resource]);
    const exists =
      resource === "namespaces"
        ? this.#topology.namespaces.store.has(name)
        : kind === undefined || this.#topology.has(kind, namespace, name);
    if (!exists) throw new StatusError("NotFound", `there is no ${what}`);
    const pods = this.#all();
    // Without pods the tap waits for some.
    if (pods.length === 0 || this.tappable().length > 0) return;
    const meshed = pods.filter((pod) => this.#isMeshed(pod));
    if (meshed.length === 0) {
      throw new StatusError("NotFound", `none of the ${pods.length} pods of ${what} is meshed: inject it first`);
    }
    if (meshed.every((pod) => this.#isDisabled(pod))) {
      throw new StatusError("NotFound", `tap is disabled for ${what} by annotation ${annotation.disableTap}`);
    }
  }

  #all(): PodView[] {
    const { namespace, resource, name } = this.#target;
    return this.#found(namespace, resource, name).filter(
      (pod) => isLive(pod) && this.#selects(pod.metadata.labels ?? {}),
    );
  }

  #found(namespace: string, resource: string, name: string): PodView[] {
    const topology = this.#topology;
    const where = (matches: (pod: PodView) => boolean): PodView[] =>
      [...topology.pods.store.values()].filter((pod) => pod.metadata.namespace === namespace && matches(pod));
    if (resource === "namespaces") return where(() => true);
    if (resource === "replicasets") return where(({ replicaSet }) => replicaSet === name);
    if (resource === "cronjobs") {
      // The controller names a CronJob's Jobs by it and their scheduled minute.
      return where(
        ({ workload }) =>
          workload.kind === "Job" &&
          workload.name.startsWith(`${name}-`) &&
          /-\d+$/.test(workload.name.slice(name.length)),
      );
    }
    return topology
      .members(KINDS[resource] ?? "", namespace, name)
      .flatMap(({ pod }) => (pod === undefined ? [] : [pod]));
  }

  #isMeshed(pod: PodView): boolean {
    return pod.mesh === this.#mesh;
  }

  #isDisabled(pod: PodView): boolean {
    const namespace = this.#topology.namespaces.store.get(keyOfNamespace(pod));
    return pod.tapDisabled || namespace?.metadata.annotations?.[annotation.disableTap] === "true";
  }
}

const keyOfNamespace = (pod: PodView): string => pod.metadata.namespace ?? "";

/** Equality-based selectors: `a=b,c!=d,e,!f`. @throws StatusError BadRequest */
export function parseLabelSelector(text: string): (labels: Readonly<Record<string, string>>) => boolean {
  const tests = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      const match = /^(?:(!)\s*)?([\w./-]+)(?:\s*(==?|!=)\s*([\w.-]*))?$/.exec(part);
      const [, negated, key = "", operator, value = ""] = match ?? [];
      if (match === null || (negated !== undefined && operator !== undefined)) {
        throw new StatusError("BadRequest", `label selector "${part}" is not supported: write key=value or key!=value`);
      }
      return (labels: Readonly<Record<string, string>>): boolean => {
        if (operator === undefined) return (labels[key] !== undefined) === (negated === undefined);
        return operator === "!=" ? labels[key] !== value : labels[key] === value;
      };
    });
  return (labels) => tests.every((test) => test(labels));
}
