/**
 * A mesh seen from outside: the shapes that the extension's views and commands and the CLI share. Every function of
 * runtime/mesh takes a KubeClient first, an AbortSignal where it can last, and reports progress per object.
 *
 * install.ts    planInstall(client, options) → Plan; applyInstall(client, plan, run) (waits until ready)
 * uninstall.ts  planUninstall(client, options) → UninstallPlan; applyUninstall(client, plan, run)
 * inject.ts     planInject(client, target) → InjectPlan; applyInject(client, plan, run); planUninject, applyUninject
 * check.ts      runChecks(client, options): AsyncIterable<CheckResult>
 * stat.ts       getStats(client, query) → StatList; watchStats(client, query, signal): AsyncIterable<StatList>
 * edges.ts      getEdges(client, query) → EdgeList
 * tap.ts        tap(client, query, signal): AsyncIterable<TapRecord>
 * demo.ts       planDemo(client, options) → Plan; applyDemo(client, plan, run); planRemoveDemo, applyRemoveDemo
 * bundle.ts     loadBundles(folder) → { proxy: Bundle, controller: Bundle } from dist/runtime
 * detect.ts     detectMesh(client) → MeshState
 */
import type { KubeObject } from "../kube/types.ts";
import type { StatResource } from "../model/statistics.ts";

export interface PlannedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  /** `in-cluster`: the controller makes it itself at its first start (certificates, caBundle). */
  readonly action: "create" | "update" | "unchanged" | "delete" | "in-cluster";
  /** What changes, field by field, for `update`; why, for `in-cluster`. */
  readonly detail?: string;
  /** What will be applied; absent for delete and in-cluster. */
  readonly object?: KubeObject;
}

export interface Plan {
  /** In the order in which they are applied. */
  readonly objects: readonly PlannedObject[];
  /** Things a person should know before agreeing. */
  readonly notes: readonly string[];
}

/** A workload of the user's that a plan restarts. */
export interface WorkloadRef {
  readonly kind: "Deployment" | "StatefulSet" | "DaemonSet" | "Pod" | "Namespace" | "Job" | "CronJob" | "ReplicaSet";
  readonly namespace: string;
  readonly name: string;
}

export interface UninstallPlan extends Plan {
  /** Workloads that still carry a proxy; uninjecting them first is offered. */
  readonly meshed: readonly WorkloadRef[];
}

export interface InjectTarget {
  readonly kind: "Namespace" | "Deployment" | "StatefulSet" | "DaemonSet";
  /** The namespace itself for kind Namespace. */
  readonly namespace: string;
  readonly name: string;
}

export interface InjectPlan {
  readonly target: InjectTarget;
  /** What will restart. */
  readonly restarts: readonly WorkloadRef[];
  /** What stays as it is, and why: already meshed, bare pod, hostNetwork, token not mounted, annotated otherwise. */
  readonly skipped: readonly { readonly workload: WorkloadRef; readonly reason: string }[];
  /** Why nothing may be done at all (Pod Security forbids NET_ADMIN, no mesh installed…), with the next step. */
  readonly refusal?: string;
}

export interface ProgressEvent {
  /** What is under way, e.g. `Deployment weft/weft-controller`. */
  readonly subject: string;
  readonly state: "started" | "done" | "waiting" | "failed";
  readonly detail?: string;
  readonly completed: number;
  readonly total: number;
}

export interface Run {
  readonly onProgress?: (event: ProgressEvent) => void;
  readonly signal?: AbortSignal;
  /** How long to wait for readiness, milliseconds. Default 5 min. */
  readonly timeoutMs?: number;
}

export interface InstallOptions {
  /** Default `weft`. */
  readonly namespace?: string;
  /** Image of node 24, default docker.io/library/node:24-slim. */
  readonly nodeImage?: string;
  /** Image with iptables-restore, default a public one by digest. */
  readonly initImage?: string;
  readonly replicas?: number;
  readonly trustDomain?: string;
  /** Default cluster.local. */
  readonly clusterDomain?: string;
  /** Folder that holds the bundles, default dist/runtime beside the program. */
  readonly runtimeFolder: string;
}

export interface CheckResult {
  readonly category: string;
  readonly description: string;
  readonly result: "success" | "warning" | "error" | "skipped";
  /** What was found, for anything but success. */
  readonly message?: string;
  /** The next step. */
  readonly hint?: string;
}

export type MeshState =
  | { readonly kind: "absent" }
  | {
      readonly kind: "installed";
      readonly namespace: string;
      readonly version: string;
      readonly ready: boolean;
      readonly reason?: string;
    }
  | {
      readonly kind: "other";
      readonly name: "Linkerd" | "Istio";
      readonly namespace: string;
      readonly version: string;
    };

export interface StatQuery {
  readonly resource: StatResource;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  /** Milliseconds, 10 s to 1 h. */
  readonly windowMs: number;
}

export interface TapQuery {
  readonly namespace: string;
  readonly kind: "namespaces" | "services" | "deployments" | "statefulsets" | "daemonsets" | "pods";
  readonly name: string;
  readonly maxRps: number;
  readonly method?: string;
  readonly pathPrefix?: string;
  readonly authority?: string;
  readonly headers?: boolean;
}

/** One end of a tapped request. */
export interface TapPeer {
  readonly address: string;
  readonly pod?: string;
  readonly workload?: string;
  readonly namespace?: string;
  readonly identity?: string;
}

/** A live request, complete: made of its three tap events. `status` is absent where the exchange broke off. */
export interface TapRecord {
  readonly id: string;
  /** RFC 3339, when its head passed (as the controller saw it). */
  readonly time: string;
  readonly direction: "inbound" | "outbound";
  readonly source: TapPeer;
  readonly destination: TapPeer;
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly status?: number;
  readonly grpcStatus?: number;
  readonly resetCode?: number;
  /** From the request's head to the response's head. */
  readonly latencyMs?: number;
  readonly durationMs?: number;
  readonly responseBytes?: number;
  readonly tls: "true" | string;
  readonly requestHeaders?: readonly (readonly [string, string])[];
  readonly responseHeaders?: readonly (readonly [string, string])[];
}
