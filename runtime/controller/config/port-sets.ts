/** Port lists as annotations have them: numbers, ranges, and names of a pod's or service's own ports. */
import { type PortRange, parsePortRanges } from "../../model/ports.ts";

/** Ports of Galera's replication, which Linkerd leaves alone in both directions unless told otherwise (reference 3.3). */
export const DEFAULT_SKIPPED_PORTS = "4567,4568";

export interface NamedPort {
  readonly name?: string;
  readonly port: number;
}

/** Parts that are neither port nor range nor known name are left out and told as `unknown`. */
export function parsePortSet(
  text: string,
  named: readonly NamedPort[] = [],
): { ranges: PortRange[]; unknown: string[] } {
  const ranges: PortRange[] = [];
  const unknown: string[] = [];
  for (const part of text.split(",").map((piece) => piece.trim())) {
    if (part === "") continue;
    const port = named.find(({ name }) => name === part)?.port;
    if (port !== undefined) {
      ranges.push({ first: port, last: port });
      continue;
    }
    try {
      ranges.push(...parsePortRanges(part));
    } catch {
      unknown.push(part);
    }
  }
  return { ranges, unknown };
}

/** The form that environment and annotations use: `25,4000-4010`. */
export function formatPortSet(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}
