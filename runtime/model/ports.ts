/** Ports of the data plane and the control plane (reference 3.1, 4.2; DESIGN decision 4). */
export const port = {
  outbound: 4140,
  inbound: 4143,
  control: 4190,
  admin: 4191,
  identity: 8080,
  destination: 8086,
  policy: 8090,
  /** Webhook and aggregated APIs of the control plane; reachable from managed control planes. */
  api: 10250,
  /** Loopback port of the statistics and tap process, to which {@link port.api} passes its share by SNI. */
  viz: 10251,
  controllerAdmin: 9990,
  vizAdmin: 9991,
} as const;

/** Names of container ports that others look for. */
export const portName = { inbound: "linkerd-proxy", admin: "linkerd-admin" } as const;

/** Protocols whose server speaks first, or that carry no HTTP (reference 3.3): 25 SMTP, 3306 MySQL, 5432 PostgreSQL… */
export const DEFAULT_OPAQUE_PORTS: readonly number[] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

/** Ports that never reach the proxy: its own (reference 3.3). */
export const PROXY_PORTS: readonly number[] = [port.control, port.admin];

export const DEFAULT_CLUSTER_NETWORKS: readonly string[] = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "fd00::/8",
];

/** A half-open problem of a port list: which part was wrong. */
export class PortListError extends Error {
  constructor(part: string) {
    super(`"${part}" is not a port (1–65535) or a range of ports (a-b)`);
    this.name = "PortListError";
  }
}

/** An inclusive range of ports. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Parses `25,587,4000-4010`, the form of `config.linkerd.io/opaque-ports` and of the proxy's port sets.
 * @throws PortListError naming the first part that is no port or range
 */
export function parsePortRanges(text: string): PortRange[] {
  const ranges: PortRange[] = [];
  for (const part of text.split(",")) {
    const trimmed = part.trim();
    if (trimmed === "") continue;
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(trimmed);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || first < 1 || last > 65535 || first > last) throw new PortListError(trimmed);
    ranges.push({ first, last });
  }
  return ranges;
}

export function rangesInclude(ranges: readonly PortRange[], value: number): boolean {
  return ranges.some((range) => value >= range.first && value <= range.last);
}
