/** Labels that every series of the data plane begins with (reference 7.2). */
import type { Labels } from "../metrics/series.ts";

export type Direction = "inbound" | "outbound";

export function targetLabels(ip: string, port: number): Labels {
  return [
    ["target_addr", `${ip.includes(":") ? `[${ip}]` : ip}:${port}`],
    ["target_ip", ip],
    ["target_port", String(port)],
  ];
}

/** What is known of TLS on one side of a connection. */
export type TlsStatus =
  | { readonly kind: "established"; readonly peer: string | undefined }
  | { readonly kind: "none"; readonly reason: string }
  /** TLS of the application's own, passed through. */
  | { readonly kind: "opaque"; readonly serverName: string };

/** @param peerLabel `client_id` on the inbound side, `server_id` on the outbound one */
export function tlsLabels(status: TlsStatus, peerLabel: "client_id" | "server_id"): Labels {
  switch (status.kind) {
    case "established":
      return [
        ["tls", "true"],
        [peerLabel, status.peer ?? ""],
      ];
    case "none":
      return [
        ["tls", "no_identity"],
        ["no_tls_reason", status.reason],
      ];
    default:
      return [
        ["tls", "opaque"],
        ["sni", status.serverName],
      ];
  }
}

/** Labels of one side's tcp_* series. */
export function tcpLabels(
  direction: Direction,
  peer: "src" | "dst",
  target: Labels,
  tls: Labels,
  more: Labels,
): Labels {
  return [["direction", direction], ["peer", peer], ...target, ...tls, ...more];
}
