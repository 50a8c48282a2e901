/** `control_request_total` and its kin (reference 7.3), from the calls of one client. */
import type { ControlAddress } from "../config/environment.ts";
import type { MetricsRegistry } from "../metrics/registry.ts";
import type { Labels } from "../metrics/series.ts";
import { formatAddress } from "../policy/networks.ts";
import { rpcStatus } from "./client.ts";
import type { CallObserver } from "./grpc-client.ts";

/** gRPC codes that count as failure (reference 7.3): Unknown, DeadlineExceeded, PermissionDenied, Internal, Unavailable, DataLoss. */
const FAILURES = new Set([2, 4, 7, 13, 14, 15]);

export function observeCalls(metrics: MetricsRegistry, { host, port, serverName }: ControlAddress): CallObserver {
  const tls: Labels =
    serverName === undefined
      ? [
          ["tls", "no_identity"],
          ["no_tls_reason", "loopback"],
        ]
      : [
          ["tls", "true"],
          ["server_id", serverName],
        ];
  const series = metrics.control([["addr", formatAddress(host, port)], ...tls]);
  return {
    started: () => series.request(),
    ended: (code, milliseconds) => {
      // gRPC answers with HTTP's 200 whatever it has to say; Unavailable means that nobody answered.
      series.response(code === rpcStatus.unavailable ? 0 : 200, milliseconds, FAILURES.has(code));
    },
  };
}
