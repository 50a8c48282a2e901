/** What of a proxy's series is told apart in figures. Labels that no figure needs (status codes, addresses…) are added up. */
import type { SampleLabels } from "../../../prometheus/exposition-parser.ts";
import { LATENCY_BUCKETS } from "../../../prometheus/latency-histogram.ts";

export interface SeriesKey {
  readonly protocol: "http" | "tcp";
  readonly direction: "inbound" | "outbound";
  /** `target_port`. */
  readonly port: string;
  /** `tls="true"`. */
  readonly tls: boolean;
  /** Inbound: `client_id`, outbound: `server_id`; empty without TLS. */
  readonly identity: string;
  /** `no_tls_reason`; empty with TLS. */
  readonly noTlsReason: string;
  /** Outbound only: where to, by the destination's labels. */
  readonly destination: Destination | undefined;
}

export interface Destination {
  readonly namespace: string;
  /** Empty where the caller used no service. */
  readonly service: string;
  readonly workloadKind: string;
  readonly workload: string;
}

/** Values of one series: their places. */
export const HTTP_VALUES = { success: 0, failure: 1, firstBucket: 2, count: 2 + LATENCY_BUCKETS } as const;
export const TCP_VALUES = { opened: 0, read: 1, write: 2, count: 3 } as const;

const WORKLOAD_LABELS: readonly (readonly [label: string, kind: string])[] = [
  ["dst_deployment", "Deployment"],
  ["dst_statefulset", "StatefulSet"],
  ["dst_daemonset", "DaemonSet"],
  ["dst_job", "Job"],
  ["dst_cronjob", "CronJob"],
  ["dst_replicaset", "ReplicaSet"],
  ["dst_replicationcontroller", "ReplicationController"],
  ["dst_pod", "Pod"],
];

/** Keys are shared by all pods: the same label values give the same object. */
export class SeriesKeys {
  readonly #keys = new Map<string, SeriesKey>();

  get size(): number {
    return this.#keys.size;
  }

  /** undefined: a series that counts in no figure (probes, traffic to where the mesh knows nothing of). */
  of(protocol: SeriesKey["protocol"], labels: SampleLabels): SeriesKey | undefined {
    const direction = labels.get("direction");
    if (direction !== "inbound" && direction !== "outbound") return undefined;
    const tls = labels.get("tls") === "true";
    const identity = tls ? (labels.get(direction === "inbound" ? "client_id" : "server_id") ?? "") : "";
    const noTlsReason = tls ? "" : (labels.get("no_tls_reason") ?? "");
    const port = labels.get("target_port") ?? "";
    const destination = direction === "outbound" ? destinationOf(labels) : undefined;
    if (direction === "outbound" && destination === undefined) return undefined;
    const where =
      destination === undefined
        ? ""
        : `${destination.namespace}|${destination.service}|${destination.workloadKind}|${destination.workload}`;
    const text = `${protocol}|${direction}|${port}|${tls}|${identity}|${noTlsReason}|${where}`;
    let key = this.#keys.get(text);
    if (key === undefined) {
      key = { protocol, direction, port, tls, identity, noTlsReason, destination };
      // Pieces of a scrape's text would keep all of it in memory.
      this.#keys.set(flat(text), JSON.parse(JSON.stringify(key)) as SeriesKey);
      key = this.#keys.get(text) ?? key;
    }
    return key;
  }

  /** Forgets keys that no pod uses any more. */
  prune(used: ReadonlySet<SeriesKey>): void {
    for (const [text, key] of this.#keys) if (!used.has(key)) this.#keys.delete(text);
  }
}

function destinationOf(labels: SampleLabels): Destination | undefined {
  const namespace = labels.get("dst_namespace");
  if (namespace === undefined || namespace === "") return undefined;
  const service = labels.get("dst_service") ?? "";
  for (const [label, kind] of WORKLOAD_LABELS) {
    const workload = labels.get(label);
    if (workload !== undefined && workload !== "") return { namespace, service, workloadKind: kind, workload };
  }
  return service === "" ? undefined : { namespace, service, workloadKind: "", workload: "" };
}

function flat(text: string): string {
  return Buffer.from(text).toString();
}
