import type { DataPlaneOptions } from "../listener.ts";
import type { OutboundTargets } from "./target.ts";

export interface OutboundOptions extends DataPlaneOptions {
  readonly targets: OutboundTargets;
  /** Whether errors of the proxy's own tell their reason in `l5d-proxy-error`: not where OUTBOUND_DISABLE_INFORMATIONAL_HEADERS is set. Default true. */
  readonly informationalHeaders?: boolean;
}
