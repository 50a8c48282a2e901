/** Figures as a meta.k8s.io/v1 Table: what `kubectl get` prints. Columns by Linkerd's `viz stat` and `viz edges` (reference 8.4). */
import { shortIdentity } from "../../model/identity.ts";
import type { Edge, EdgeList, HttpFigures, MtlsFigures, Stat, StatList, TcpFigures } from "../../model/statistics.ts";

interface Column {
  readonly name: string;
  /** Columns of priority 1 are shown with -o wide only. */
  readonly priority?: 0 | 1;
}

/** `-`: no data. */
const NONE = "-";

const STAT_COLUMNS: readonly Column[] = [
  { name: "Name" },
  { name: "Meshed" },
  { name: "Success" },
  { name: "RPS" },
  { name: "P50" },
  { name: "P95" },
  { name: "P99" },
  { name: "mTLS" },
  { name: "TCP_Conn" },
  { name: "Read/s", priority: 1 },
  { name: "Write/s", priority: 1 },
  { name: "Note", priority: 1 },
];

const EDGE_COLUMNS: readonly Column[] = [
  { name: "Source" },
  { name: "Destination" },
  { name: "Success" },
  { name: "RPS" },
  { name: "P95" },
  { name: "mTLS" },
  { name: "TCP_Conn" },
  { name: "Client", priority: 1 },
  { name: "Server", priority: 1 },
];

export function statTable(list: StatList): Record<string, unknown> {
  return table(
    STAT_COLUMNS,
    list.items.map((stat) => ({ namespace: stat.namespace, name: stat.name, cells: statCells(stat) })),
  );
}

export function edgeTable(list: EdgeList): Record<string, unknown> {
  return table(
    EDGE_COLUMNS,
    list.items.map((edge) => ({
      namespace: edge.destination.namespace,
      name: `${edge.source.name}-${edge.destination.name}`,
      cells: edgeCells(edge),
    })),
  );
}

interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly cells: readonly string[];
}

function table(columns: readonly Column[], rows: readonly Row[]): Record<string, unknown> {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: {},
    columnDefinitions: columns.map(({ name, priority }) => ({
      name,
      type: "string",
      format: name === "Name" ? "name" : "",
      description: name,
      priority: priority ?? 0,
    })),
    rows: rows.map(({ namespace, name, cells }) => ({
      cells,
      object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: { name, namespace } },
    })),
  };
}

function statCells(stat: Stat): string[] {
  const { http, tcp } = stat;
  return [
    stat.name,
    `${stat.meshedPods}/${stat.totalPods}`,
    success(http),
    rate(http),
    milliseconds(http?.latencyMs.p50),
    milliseconds(http?.latencyMs.p95),
    milliseconds(http?.latencyMs.p99),
    mtls(stat.mtls),
    connections(tcp),
    tcp === undefined ? NONE : bytes(tcp.readBytesPerSecond),
    tcp === undefined ? NONE : bytes(tcp.writeBytesPerSecond),
    stat.noData ?? stat.mtls.reason ?? "",
  ];
}

function edgeCells(edge: Edge): string[] {
  return [
    `${edge.source.kind.toLowerCase()}/${edge.source.name}${edge.source.namespace === "" ? "" : `.${edge.source.namespace}`}`,
    `${edge.destination.kind.toLowerCase()}/${edge.destination.name}.${edge.destination.namespace}`,
    success(edge.http),
    rate(edge.http),
    milliseconds(edge.http?.latencyMs.p95),
    mtls(edge.mtls),
    connections(edge.tcp),
    edge.source.identity === undefined ? NONE : shortIdentity(edge.source.identity),
    edge.destination.identity === undefined ? NONE : shortIdentity(edge.destination.identity),
  ];
}

function success(http: HttpFigures | undefined): string {
  return http === undefined ? NONE : percent(http.successRate);
}

function rate(http: HttpFigures | undefined): string {
  return http === undefined ? NONE : `${http.requestsPerSecond.toFixed(1)}`;
}

/** 100 % is said only where it is all. */
function percent(share: number): string {
  const text = (share * 100).toFixed(2);
  return share < 1 && text === "100.00" ? "99.99%" : `${text}%`;
}

function mtls({ state, share }: MtlsFigures): string {
  return state === "partial" && share !== undefined ? `partial (${percent(share)})` : state;
}

function milliseconds(value: number | undefined): string {
  if (value === undefined) return NONE;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}ms`;
}

function connections(tcp: TcpFigures | undefined): string {
  return tcp === undefined ? NONE : String(tcp.openConnections);
}

function bytes(perSecond: number): string {
  if (perSecond < 1024) return `${Math.round(perSecond)}B`;
  if (perSecond < 1024 * 1024) return `${(perSecond / 1024).toFixed(1)}KiB`;
  return `${(perSecond / 1024 / 1024).toFixed(1)}MiB`;
}
