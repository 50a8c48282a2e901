/** ClusterIPs as rules: text for iptables-restore that replaces tables nat and filter of the router's namespace at once. */
import { type Endpoint, type EndpointSlice, SERVICE_NAME_LABEL, type Service } from "./pod-types.ts";

/** A ClusterIP that something outside of pods answers, at another port. */
export interface FixedService {
  readonly address: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly target: string;
}

/** Set on what a pod sends to itself through a Service: its answer has to come back here. */
const HAIRPIN_MARK = "0x4000";

/**
 * Each connection goes to one of the ready endpoints at random; where none is ready, to those that still serve while
 * they end; where there are none, it is refused (kube-proxy's iptables mode). So is what no Service has.
 */
export function serviceRules(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  fixed: readonly FixedService[],
  serviceCidr: string,
): string {
  const slicesOf = Map.groupBy(slices, serviceKey);
  const chains: string[] = [];
  const nat: string[] = [];
  for (const { address, port, protocol, target } of fixed) {
    nat.push(`-A SERVICES -d ${address}/32 -p ${protocol} --dport ${port} -j DNAT --to-destination ${target}`);
  }
  for (const service of services.toSorted(byKey)) {
    const { clusterIP, ports = [] } = service.spec ?? {};
    if (clusterIP === undefined || clusterIP === "" || clusterIP === "None") continue;
    const own = slicesOf.get(`${service.metadata.namespace}/${service.metadata.name}`) ?? [];
    for (const port of ports) {
      const protocol = (port.protocol ?? "TCP").toLowerCase();
      if (protocol !== "tcp" && protocol !== "udp") continue;
      const match = `-d ${clusterIP}/32 -p ${protocol} --dport ${port.port}`;
      const targets = targetsOf(own, port.name ?? "", protocol);
      if (targets.length === 0) continue;
      const chain = `SVC-${chains.length}`;
      chains.push(chain);
      nat.push(`-A SERVICES ${match} -j ${chain}`);
      for (const [index, { address, port: targetPort }] of targets.entries()) {
        const left = targets.length - index;
        const endpoint = `${chain}-${index}`;
        chains.push(endpoint);
        const random = left === 1 ? "" : ` -m statistic --mode random --probability ${(1 / left).toFixed(8)}`;
        nat.push(
          `-A ${chain}${random} -j ${endpoint}`,
          `-A ${endpoint} -s ${address}/32 -j MARK --set-mark ${HAIRPIN_MARK}`,
          `-A ${endpoint} -p ${protocol} -j DNAT --to-destination ${address}:${targetPort}`,
        );
      }
    }
  }
  return [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":SERVICES - [0:0]",
    ...chains.map((chain) => `:${chain} - [0:0]`),
    "-A PREROUTING -j SERVICES",
    `-A POSTROUTING -m mark --mark ${HAIRPIN_MARK} -j MASQUERADE`,
    ...nat,
    "COMMIT",
    "*filter",
    ":INPUT ACCEPT [0:0]",
    ":FORWARD ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    // Whatever no rule has sent elsewhere: no endpoint, or no such Service.
    `-A FORWARD -d ${serviceCidr} -j REJECT`,
    "COMMIT",
    "",
  ].join("\n");
}

interface Target {
  readonly address: string;
  readonly port: number;
}

/** The same order for the same endpoints, so that rules that have not changed are the same text. */
function targetsOf(slices: readonly EndpointSlice[], portName: string, protocol: string): Target[] {
  const ready = new Map<string, Target>();
  const ending = new Map<string, Target>();
  for (const slice of slices) {
    const ports = (slice.ports ?? []).filter(
      (port) => (port.name ?? "") === portName && (port.protocol ?? "TCP").toLowerCase() === protocol,
    );
    for (const { port } of ports) {
      if (port === undefined) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const address = endpoint.addresses[0];
        if (address === undefined || address.includes(":")) continue;
        const target = { address, port };
        if (isReady(endpoint)) ready.set(`${address}:${port}`, target);
        else if (endpoint.conditions?.serving === true) ending.set(`${address}:${port}`, target);
      }
    }
  }
  return [...(ready.size > 0 ? ready : ending)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, target]) => target);
}

/** Unknown counts as ready (discovery/v1). */
export const isReady = (endpoint: Endpoint): boolean => endpoint.conditions?.ready !== false;

/** `namespace/name` of the Service that a slice belongs to. */
export function serviceKey(slice: EndpointSlice): string {
  return `${slice.metadata.namespace}/${slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? ""}`;
}

function byKey(a: Service, b: Service): number {
  const [x, y] = [a, b].map(({ metadata }) => `${metadata.namespace}/${metadata.name}`) as [string, string];
  return x < y ? -1 : 1;
}
