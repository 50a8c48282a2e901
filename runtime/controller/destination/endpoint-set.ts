/** The endpoints of one port of one Service, and what of them one client sees. */
import type { WeightedAddr } from "../../api/gen/io/linkerd/proxy/destination.ts";
import type { MeshConfig } from "../../model/mesh-config.ts";
import type { ClusterState } from "./cluster-state.ts";
import type { ServiceView, SliceEndpoint, SliceView } from "./projections.ts";
import { bareAddress, podAddress } from "./weighted-address.ts";

export interface EndpointEntry {
  readonly address: WeightedAddr;
  readonly ip: string;
  readonly port: number;
  readonly zone: string;
  readonly nodeName: string;
  readonly hintZones: readonly string[] | undefined;
  /** Equal for entries that a proxy cannot tell apart. */
  readonly signature: string;
}

export interface EndpointQuery {
  /** `<namespace>/<name>` */
  readonly service: string;
  readonly port: number;
  /** One pod of a headless Service. */
  readonly hostname?: string;
}

/** By `ip:port`. */
export type EndpointMap = ReadonlyMap<string, EndpointEntry>;

/** Ready endpoints; where there is none, those that end but still answer (KEP-1669's rule for traffic). */
export function endpointsOf(state: ClusterState, mesh: MeshConfig, query: EndpointQuery): EndpointMap {
  const service = state.service(query.service);
  const all = [...state.slices(query.service)];
  const slices = ofOneFamily(all);
  const ready = collect(state, mesh, query, service, slices, (endpoint) => endpoint.ready);
  return ready.size > 0 ? ready : collect(state, mesh, query, service, slices, (endpoint) => endpoint.serving);
}

/** A dual-stack Service has slices of both families for the same pods. */
function ofOneFamily(slices: readonly SliceView[]): SliceView[] {
  const v4 = slices.filter(({ family }) => family === "IPv4");
  return v4.length > 0 ? v4 : slices.filter(({ family }) => family === "IPv6");
}

function collect(
  state: ClusterState,
  mesh: MeshConfig,
  query: EndpointQuery,
  service: ServiceView | undefined,
  slices: readonly SliceView[],
  wanted: (endpoint: SliceEndpoint) => boolean,
): Map<string, EndpointEntry> {
  const declared = service?.ports.find(({ port }) => port === query.port);
  const entries = new Map<string, EndpointEntry>();
  for (const slice of slices) {
    // The slice has resolved named target ports; a port that the Service does not declare stands for itself.
    const port =
      declared === undefined ? query.port : slice.ports.find(({ name }) => name === (declared.name ?? ""))?.port;
    if (port === undefined) continue;
    for (const endpoint of slice.endpoints) {
      if (!wanted(endpoint) || (query.hostname !== undefined && endpoint.hostname !== query.hostname)) continue;
      for (const ip of endpoint.addresses) {
        const entry = toEntry(state, mesh, endpoint, ip, port);
        if (entry !== undefined) entries.set(`${ip}:${port}`, entry);
      }
    }
  }
  return entries;
}

/**
 * undefined for a pod that is not known yet: its slice came first. Told without its identity it would be called in
 * plain text; the pod's own event brings it here again.
 */
function toEntry(
  state: ClusterState,
  mesh: MeshConfig,
  endpoint: SliceEndpoint,
  ip: string,
  port: number,
): EndpointEntry | undefined {
  const pod = endpoint.pod === undefined ? undefined : state.pod(endpoint.pod);
  if (endpoint.pod !== undefined && pod === undefined) return undefined;
  const nodeName = endpoint.nodeName ?? pod?.nodeName ?? "";
  const zone = endpoint.zone ?? state.zoneOf(nodeName);
  const address = pod === undefined ? bareAddress(ip, port, { zone }) : podAddress(state, mesh, pod, ip, port, zone);
  const { metricLabels, tlsIdentity, protocolHint } = address;
  return {
    address,
    ip,
    port,
    zone,
    nodeName,
    hintZones: endpoint.hintZones,
    signature: JSON.stringify([metricLabels, tlsIdentity, protocolHint]),
  };
}

/** Where a client is, as far as it matters to a Service's endpoints. */
export interface Locality {
  readonly zone: string;
  readonly nodeName: string;
}

/**
 * What a client in `locality` is told: internalTrafficPolicy Local keeps to the node; topology hints, when every endpoint
 * has them, keep to the zone unless that leaves nothing.
 */
export function visibleTo(endpoints: EndpointMap, locality: Locality, localOnly: boolean): EndpointMap {
  let entries = [...endpoints];
  if (localOnly) entries = entries.filter(([, { nodeName }]) => nodeName === locality.nodeName);
  const hinted =
    entries.length > 0 && entries.every(([, { hintZones }]) => hintZones !== undefined && hintZones.length > 0);
  if (hinted && locality.zone !== "") {
    const near = entries.filter(([, { hintZones }]) => hintZones?.includes(locality.zone));
    if (near.length > 0) entries = near;
  }
  return new Map(entries.map(([key, entry]) => [key, withLocality(entry, locality.zone)]));
}

function withLocality(entry: EndpointEntry, clientZone: string): EndpointEntry {
  const locality = entry.zone === "" || clientZone === "" ? "unknown" : entry.zone === clientZone ? "local" : "remote";
  const { address } = entry;
  return {
    ...entry,
    address: { ...address, metricLabels: { ...address.metricLabels, zone_locality: locality } },
    signature: `${locality}${entry.signature}`,
  };
}
