import type { ConnectBackoff } from "../config/connect-backoff.ts";
import type { QueueLimits } from "../config/queue-limits.ts";
import type { Load } from "../http/load.ts";
import type { DataPlaneOptions } from "../listener.ts";
import type { OutboundTargets } from "./target.ts";

export interface OutboundOptions extends DataPlaneOptions {
  readonly targets: OutboundTargets;
  /** OUTBOUND_MAX_IN_FLIGHT: what is under way of HTTP; further requests are refused (503). Absent: as many as come. */
  readonly load?: Load;
  /** OUTBOUND_CONNECT_EXP_BACKOFF_*: how long an endpoint that cannot be reached is left alone. Default 100 ms to 60 s, jitter 0.1. */
  readonly connectBackoff?: ConnectBackoff | undefined;
  /** OUTBOUND_{HTTP,TCP}_{QUEUE_CAPACITY,FAILFAST_TIMEOUT}: of all balancers. What is absent is as each one's policy says. */
  readonly queues?: { readonly http: QueueLimits; readonly tcp: QueueLimits } | undefined;
  /** INGRESS_MODE: requests go where their l5d-dst-override says. Absent: by their original destination, and the header is the application's. */
  readonly ingress?:
    | {
        /** OUTBOUND_DETECT_TIMEOUT: all connections are looked into, whatever the policy of their destination says. */
        readonly detectTimeoutMs: number;
      }
    | undefined;
  /** OUTBOUND_METRICS_HOSTNAME_LABELS: whether series of routes have the host that requests ask for. Default false. */
  readonly hostnameLabels?: boolean;
  /** Whether errors of the proxy's own tell their reason in `l5d-proxy-error`: not where OUTBOUND_DISABLE_INFORMATIONAL_HEADERS is set. Default true. */
  readonly informationalHeaders?: boolean;
}
