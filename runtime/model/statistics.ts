/**
 * What `stats.weft.dev/v1alpha1` answers (DESIGN, "Names that later work depends on").
 *
 * GET /apis/stats.weft.dev/v1alpha1[/namespaces/<ns>]/{services|deployments|statefulsets|daemonsets|pods}?window=1m → StatList
 * GET /apis/stats.weft.dev/v1alpha1[/namespaces/<ns>]/edges?window=1m → EdgeList
 * `&watch=true` streams one JSON document a line (the whole list each time a scrape has ended). `Accept: application/json;as=Table`
 * gives a meta.k8s.io/v1 Table for kubectl. …/<resource>/<name> gives one Stat, with `window` and `source` of its own.
 * Items carry `apiVersion` and `metadata` (name, namespace) besides, so that they are objects to kubectl. Refusals are
 * Status objects. …/routes answers 501.
 */

export const STATS_GROUP = "stats.weft.dev";
export const STATS_VERSION = "v1alpha1";
export const TAP_GROUP = "tap.linkerd.io";
export const TAP_VERSION = "v1alpha1";

/** A tap event without a request, with this label in its source's: the tap tells of itself (events dropped, a pod that cannot be tapped). */
export const TAP_NOTICE_LABEL = "weft.dev/notice";

export const MIN_WINDOW_MS = 10_000;
export const MAX_WINDOW_MS = 3_600_000;
export const DEFAULT_WINDOW_MS = 60_000;

export type StatResource = "services" | "deployments" | "statefulsets" | "daemonsets" | "pods";

/** Where the figures come from, and since when there are any. */
export interface StatSource {
  readonly kind: "embedded" | "prometheus";
  /** RFC 3339; history starts at the scraping controller's term. */
  readonly since: string;
  /** RFC 3339; the newest scrape in the answer. */
  readonly asOf: string;
}

/** Golden metrics of HTTP requests in the window. Latencies in milliseconds, interpolated from histogram buckets. */
export interface HttpFigures {
  readonly requests: number;
  readonly successes: number;
  /** successes / (successes + failures), 0…1. */
  readonly successRate: number;
  readonly requestsPerSecond: number;
  readonly latencyMs: { readonly p50: number; readonly p95: number; readonly p99: number };
}

/** Figures of connections that carry no HTTP. */
export interface TcpFigures {
  readonly openConnections: number;
  readonly connections: number;
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
}

/** requests (or, for TCP, connections) with tls="true" of all inbound ones in the window. */
export interface MtlsFigures {
  readonly state: "all" | "partial" | "none" | "unknown";
  /** 0…1; absent where state is unknown. */
  readonly share?: number;
  /** Why the state is unknown: "no traffic in the window", "no meshed pods", "no scrape yet"… */
  readonly reason?: string;
}

export interface Stat {
  readonly kind: "Service" | "Deployment" | "StatefulSet" | "DaemonSet" | "Pod";
  readonly namespace: string;
  readonly name: string;
  /** Pods that carry a ready proxy, of all pods behind the resource. */
  readonly meshedPods: number;
  readonly totalPods: number;
  readonly http?: HttpFigures;
  readonly tcp?: TcpFigures;
  readonly mtls: MtlsFigures;
  /** Present where neither http nor tcp is: why there are no figures. */
  readonly noData?: string;
}

export interface StatList {
  readonly kind: "StatList";
  readonly apiVersion: "stats.weft.dev/v1alpha1";
  /** As asked, e.g. `1m`. */
  readonly window: string;
  readonly source: StatSource;
  readonly items: readonly Stat[];
}

/** One caller of one service, from the outbound series of the caller's proxy (unmeshed callers: from the inbound series). */
export interface Edge {
  readonly source: EdgeEnd;
  readonly destination: EdgeEnd;
  readonly http?: HttpFigures;
  readonly tcp?: TcpFigures;
  readonly mtls: MtlsFigures;
}

export interface EdgeEnd {
  /** `Service` or the kind of a workload; `ServiceAccount`: a caller that only its identity tells; `Unknown` (named `unmeshed`): callers without one. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Full identity; absent where the end showed none. */
  readonly identity?: string;
}

export interface EdgeList {
  readonly kind: "EdgeList";
  readonly apiVersion: "stats.weft.dev/v1alpha1";
  readonly window: string;
  readonly source: StatSource;
  readonly items: readonly Edge[];
}
