/** Records of a tap as rows of its panel, the newest so many kept. Knows no `vscode`. */
import type { TapPeer, TapQuery, TapRecord } from "../../runtime/mesh/types.ts";
import type { TapRow } from "./tap-messages.ts";

/** A ring: rows beyond its capacity push the oldest out. */
export class TapBuffer {
  readonly #capacity: number;
  readonly #records = new Map<number, TapRecord>();
  #next = 1;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(record: TapRecord): TapRow {
    const seq = this.#next++;
    this.#records.set(seq, record);
    if (this.#records.size > this.#capacity) this.#records.delete(seq - this.#capacity);
    return rowOf(seq, record);
  }

  get(seq: number): TapRecord | undefined {
    return this.#records.get(seq);
  }

  rows(): TapRow[] {
    return [...this.#records].map(([seq, record]) => rowOf(seq, record));
  }

  clear(): void {
    this.#records.clear();
  }
}

export function rowOf(seq: number, record: TapRecord): TapRow {
  const { status, grpcStatus, latencyMs } = record;
  return {
    seq,
    time: Date.parse(record.time),
    source: peerName(record.source),
    destination: peerName(record.destination),
    method: record.method,
    path: record.path,
    tls: record.tls,
    ...(status === undefined ? {} : { status }),
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
  };
}

/** A workload by its name, else the pod, an identity's account, or the bare address. */
export function peerName({ pod, workload, identity, address }: TapPeer): string {
  return workload ?? pod ?? identity?.split(".").slice(0, 2).join(".") ?? address;
}

/** The same tap in the terminal. */
export function tapCommandLine({ kind, name, namespace, maxRps }: TapQuery): string {
  const short: Readonly<Record<TapQuery["kind"], string>> = {
    namespaces: "ns",
    services: "svc",
    deployments: "deploy",
    statefulsets: "sts",
    daemonsets: "ds",
    pods: "pod",
  };
  const scope = kind === "namespaces" ? "" : ` -n ${namespace}`;
  return `weft tap ${short[kind]}/${name}${scope} --max-rps ${maxRps}`;
}
