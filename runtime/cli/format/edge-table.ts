/** Who calls whom, as Linkerd's `viz edges` prints it (reference 8.4). */
import { shortIdentity } from "../../model/identity.ts";
import type { Edge, EdgeList, MtlsFigures } from "../../model/statistics.ts";
import { sourceLine } from "./stat-table.ts";
import { formatTable } from "./table.ts";

export function formatEdges(list: EdgeList, options: { readonly wide?: boolean } = {}): string {
  const titles = ["SRC", "DST", "SRC_NS", "DST_NS", ...(options.wide ? ["CLIENT_ID", "SERVER_ID"] : []), "SECURED"];
  const rows = list.items.map(({ source, destination, mtls }) => [
    endName(source),
    endName(destination),
    source.namespace === "" ? "-" : source.namespace,
    destination.namespace === "" ? "-" : destination.namespace,
    ...(options.wide ? [identityText(source.identity), identityText(destination.identity)] : []),
    secured(mtls),
  ]);
  return [
    formatTable(
      titles.map((title) => ({ title })),
      rows,
    ),
    sourceLine(list),
  ].join("\n");
}

export function edgesJson(list: EdgeList): string {
  const rows = list.items.map(({ source, destination, mtls }) => ({
    src: source.name,
    src_kind: source.kind,
    src_namespace: source.namespace,
    dst: destination.name,
    dst_kind: destination.kind,
    dst_namespace: destination.namespace,
    client_id: source.identity ?? "",
    server_id: destination.identity ?? "",
    no_tls_reason: mtls.state === "all" ? "" : secured(mtls),
  }));
  return JSON.stringify(rows, null, 2);
}

function endName({ kind, name }: Edge["source"]): string {
  return `${kind.toLowerCase()}/${name}`;
}

function identityText(identity: string | undefined): string {
  return identity === undefined ? "-" : shortIdentity(identity);
}

/** √, or why not. */
function secured({ state, share, reason }: MtlsFigures): string {
  switch (state) {
    case "all":
      return "√";
    case "partial":
      return `${((share ?? 0) * 100).toFixed(1)}% of it`;
    case "none":
      return reason ?? "no mTLS";
    case "unknown":
      return reason ?? "unknown";
  }
}
