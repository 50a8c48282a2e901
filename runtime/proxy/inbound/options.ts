import type { DataPlaneOptions } from "../listener.ts";
import type { OutboundOptions } from "../outbound/options.ts";
import type { InboundPolicies } from "../policy/inbound.ts";

export interface InboundOptions extends DataPlaneOptions {
  readonly policies: InboundPolicies;
  /** INBOUND_DETECT_TIMEOUT, milliseconds: how long a connection may stay silent before it counts as not TLS. A port's policy has its own for HTTP. */
  readonly detectTimeoutMs: number;
  /** INBOUND_MAX_IN_FLIGHT: requests under way, of all connections; further ones are refused (503). Default 100,000. */
  readonly maxInFlight?: number;
  /** INBOUND_METRICS_AUTHORITY_LABELS: whether series of requests have the label `authority`. Clients choose it, and how many series there are. */
  readonly authorityLabels?: boolean;
  /** Absent: it is no gateway. */
  readonly gateway?: {
    /** INBOUND_GATEWAY_SUFFIXES: names of Services that peers may be led to. Lower case, without dots at either end. */
    readonly suffixes: readonly string[];
    /** The way from here; nothing listens for it. */
    readonly outbound: OutboundOptions;
  };
}
