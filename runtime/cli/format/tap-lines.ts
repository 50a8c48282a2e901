/** Live requests as Linkerd's `viz tap` prints them: `req`, `rsp` and `end` (reference 8.4). */
import type { TapPeer, TapRecord } from "../../mesh/types.ts";

/** Three lines, two where no response came. */
export function formatTap(record: TapRecord, options: { readonly wide?: boolean } = {}): string {
  const { id, direction, source, destination, tls } = record;
  const stream = id.slice(id.lastIndexOf(" ") + 1);
  const meta = options.wide ? ` ${wideFields("src", source)} ${wideFields("dst", destination)}`.trimEnd() : "";
  const common = `id=${stream} proxy=${direction === "inbound" ? "in" : "out"} src=${source.address} dst=${destination.address} tls=${tls === "" ? "no_identity" : tls}`;
  const lines = [`req ${common} :method=${record.method} :authority=${record.authority} :path=${record.path}${meta}`];
  if (record.status !== undefined) {
    lines.push(`rsp ${common} :status=${record.status} latency=${microseconds(record.latencyMs)}${meta}`);
  }
  lines.push(`end ${common} ${endFields(record)}${meta}`);
  return lines.join("\n");
}

function endFields({ grpcStatus, resetCode, durationMs, responseBytes }: TapRecord): string {
  return [
    ...(grpcStatus === undefined ? [] : [`grpc-status=${grpcStatus}`]),
    ...(resetCode === undefined ? [] : [`reset-error=${resetCode}`]),
    `duration=${microseconds(durationMs)}`,
    `response-length=${responseBytes ?? 0}B`,
  ].join(" ");
}

function wideFields(prefix: string, peer: TapPeer): string {
  const fields: readonly (readonly [string, string | undefined])[] = [
    ["pod", peer.pod],
    ["res", peer.workload],
    ["ns", peer.namespace],
    ["id", peer.identity],
  ];
  return fields.flatMap(([name, value]) => (value === undefined ? [] : [`${prefix}_${name}=${value}`])).join(" ");
}

function microseconds(milliseconds: number | undefined): string {
  return milliseconds === undefined ? "-" : `${Math.round(milliseconds * 1000)}µs`;
}
