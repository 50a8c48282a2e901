/** `control_identity_cert_*` (reference 7.4). */
import type { Reading } from "../metrics/registry.ts";
import type { Certifier } from "./certifier.ts";

export function identityReadings(identity: Certifier, refreshes: { ok: number; error: number }): () => Reading[] {
  return () => [
    {
      name: "control_identity_cert_expiration_timestamp_seconds",
      type: "gauge",
      help: "Time when this proxy's current certificate expires (in seconds since the epoch)",
      value: seconds(identity.validity?.notAfter),
    },
    {
      name: "control_identity_cert_refresh_timestamp_seconds",
      type: "gauge",
      help: "Time when this proxy's certificate is refreshed next (in seconds since the epoch)",
      value: seconds(identity.renewalAt),
    },
    ...(["ok", "error"] as const).map((result) => ({
      name: "control_identity_cert_refreshes_total",
      type: "counter" as const,
      help: "The total number of times that this proxy has asked for a certificate",
      labels: `result="${result}"`,
      value: refreshes[result],
    })),
  ];
}

function seconds(time: Date | undefined): number | undefined {
  return time === undefined ? undefined : Math.round(time.getTime() / 1000);
}
