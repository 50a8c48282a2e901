/**
 * Who calls whom. Edges are the outbound series of callers' proxies; callers that have none show in the inbound series of
 * what they call: by their identity, or as one unmeshed caller (a proxy counts no addresses of its clients).
 */
import { type IdentityScope, shortIdentity, workloadIdentity } from "../../../model/identity.ts";
import type { Edge, EdgeEnd } from "../../../model/statistics.ts";
import type { PodHistory, SeriesWindow } from "../history/pod-history.ts";
import type { SeriesKey } from "../history/series-key.ts";
import { keyOf } from "../pod-view.ts";
import { countsInbound, type StatContext } from "./stats.ts";
import { Tally } from "./tally.ts";

export interface EdgeContext extends StatContext {
  readonly scope: IdentityScope;
}

/** Inbound requests that outbound series without TLS explain to this share are no further caller's. */
const EXPLAINED = 0.9;

interface Building {
  readonly source: EdgeEnd;
  readonly destination: EdgeEnd;
  readonly tally: Tally;
}

/** Edges that begin or end in the namespace; all of them without one. */
export function edgesOf(context: EdgeContext, namespace: string | undefined): Edge[] {
  const outbound = new Map<string, Building>();
  for (const pod of context.history.all()) addOutbound(context, pod, namespace, outbound);
  const edges = [...outbound.values(), ...inboundOnly(context, namespace, outbound)];
  return edges
    .flatMap(({ source, destination, tally }): Edge[] => {
      const http = tally.http();
      const tcp = tally.tcp();
      if (http === undefined && tcp === undefined) return [];
      return [
        {
          source,
          destination,
          ...(http === undefined ? {} : { http }),
          ...(tcp === undefined ? {} : { tcp }),
          mtls: tally.mtls("no traffic in the window"),
        },
      ];
    })
    .sort((a, b) => compareEnds(a.destination, b.destination) || compareEnds(a.source, b.source));
}

function addOutbound(
  context: EdgeContext,
  pod: PodHistory,
  namespace: string | undefined,
  edges: Map<string, Building>,
): void {
  const window = context.window.of(pod);
  // Ever since the pod's proxy runs, not only in the window: an idle HTTP connection is no TCP.
  const carriesHttp = new Set([...pod.keys()].flatMap((key) => (isOutbound(key, "http") ? [routeOf(key)] : [])));
  for (const series of window.series) {
    const { key } = series;
    const { destination } = key;
    if (key.direction !== "outbound" || destination === undefined) continue;
    if (namespace !== undefined && pod.namespace !== namespace && destination.namespace !== namespace) continue;
    if (key.protocol === "tcp" && carriesHttp.has(routeOf(key))) continue;
    const to = destinationEnd(key);
    const id = `${pod.workload.kind}/${keyOf(pod.namespace, pod.workload.name)}>${endKey(to)}`;
    let edge = edges.get(id);
    if (edge === undefined) {
      const source: EdgeEnd = { kind: pod.workload.kind, namespace: pod.namespace, name: pod.workload.name };
      edge = { source, destination: to, tally: new Tally() };
      edges.set(id, edge);
    }
    if (key.tls && edge.source.identity === undefined) {
      edge = { ...edge, source: { ...edge.source, identity: identityOf(context, pod) }, destination: to };
      edges.set(id, edge);
    }
    edge.tally.cover(window);
    edge.tally.add(window, series);
  }
}

/** Callers that no outbound series tells of. */
function inboundOnly(
  context: EdgeContext,
  namespace: string | undefined,
  outbound: ReadonlyMap<string, Building>,
): Building[] {
  const known = new Set<string>();
  const plain = new Map<string, number>();
  for (const { source, destination, tally } of outbound.values()) {
    const to = endKey(destination);
    if (source.identity !== undefined) known.add(`${source.identity}>${to}`);
    else plain.set(to, (plain.get(to) ?? 0) + tally.requests + tally.connections);
  }
  const found: Building[] = [];
  for (const service of context.topology.names("Service", namespace)) {
    const destination: EdgeEnd = { kind: "Service", ...service };
    const to = endKey(destination);
    for (const [identity, tally] of callersOf(context, destination)) {
      if (identity === "") {
        const explained = plain.get(to) ?? 0;
        if (explained >= EXPLAINED * (tally.requests + tally.connections)) continue;
        found.push({ source: { kind: "Unknown", namespace: "", name: "unmeshed" }, destination, tally });
      } else if (!known.has(`${identity}>${to}`)) {
        found.push({ source: endOfIdentity(identity), destination, tally });
      }
    }
  }
  return found;
}

/** Inbound traffic of a service by the identity of its callers; empty: without one. */
function callersOf(context: EdgeContext, { namespace, name }: EdgeEnd): Map<string, Tally> {
  const callers = new Map<string, Tally>();
  for (const { key: member, ports } of context.topology.members("Service", namespace, name)) {
    const pod = context.history.get(member);
    if (pod === undefined) continue;
    const window = context.window.of(pod);
    for (const series of window.series) {
      if (!countsInbound(series.key, pod, ports)) continue;
      const { identity } = series.key;
      const tally = callers.get(identity) ?? new Tally();
      callers.set(identity, tally);
      tally.cover(window);
      tally.add(window, withoutIdentity(series));
    }
  }
  return callers;
}

/** TLS that shows no identity is no mesh's. */
function withoutIdentity(series: SeriesWindow): SeriesWindow {
  const { key } = series;
  return key.tls && key.identity === "" ? { ...series, key: { ...key, tls: false } } : series;
}

function destinationEnd({ destination, identity }: SeriesKey): EdgeEnd {
  const { namespace = "", service = "", workloadKind = "", workload = "" } = destination ?? {};
  return {
    ...(service === "" ? { kind: workloadKind, name: workload } : { kind: "Service", name: service }),
    namespace,
    ...(identity === "" ? {} : { identity }),
  };
}

function identityOf({ scope }: EdgeContext, pod: PodHistory): string {
  return workloadIdentity(scope, pod.namespace, pod.serviceAccount);
}

function endOfIdentity(identity: string): EdgeEnd {
  const [name = identity, ...namespace] = shortIdentity(identity).split(".");
  return { kind: "ServiceAccount", namespace: namespace.join("."), name, identity };
}

function isOutbound(key: SeriesKey, protocol: SeriesKey["protocol"]): boolean {
  return key.protocol === protocol && key.direction === "outbound";
}

function routeOf({ destination, port }: SeriesKey): string {
  return `${destination?.namespace}/${destination?.service}/${destination?.workload}:${port}`;
}

function endKey({ kind, namespace, name }: EdgeEnd): string {
  return `${kind}/${keyOf(namespace, name)}`;
}

function compareEnds(a: EdgeEnd, b: EdgeEnd): number {
  const [left, right] = [`${a.namespace}/${a.name}/${a.kind}`, `${b.namespace}/${b.name}/${b.kind}`];
  return left < right ? -1 : left > right ? 1 : 0;
}
