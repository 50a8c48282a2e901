/** The redirect of a meshed pod's TCP traffic to its proxy, as text for `iptables-restore --noflush` (reference 3.4). */
import type { PortRange } from "./ports.ts";

/** Annotation of an injected pod that holds the rules; a downwardAPI volume shows it to the init container as a file. */
export const REDIRECT_RULES_ANNOTATION = "weft.dev/redirect-rules";

export interface RedirectRules {
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** What this user sends is never redirected: the proxy itself. */
  readonly proxyUid: number;
  /** Ports of the pod that clients reach without the proxy, e.g. the proxy's own control and admin ports. */
  readonly skipInboundPorts: readonly PortRange[];
  /** Ports of others that the application reaches without the proxy. */
  readonly skipOutboundPorts: readonly PortRange[];
  /** Clients in these networks (CIDR) reach the pod without the proxy. */
  readonly skipSubnets: readonly string[];
}

/** The multiport match takes 15 ports; a range counts as two. */
const MULTIPORT_SLOTS = 15;

/**
 * IPv4, table nat. Chains are declared, so that a second run finds them emptied; UDP is never redirected. Jumps are
 * appended last: until then no packet meets a half-filled chain.
 */
export function redirectRules(rules: RedirectRules): string {
  const inbound: string[] = [
    ...rules.skipSubnets.map((subnet) => `-s ${subnet} ${comment(`ignore-subnet-${subnet}`)} -j RETURN`),
    ...skipPorts(rules.skipInboundPorts),
    `-p tcp ${comment("redirect-all-incoming-to-proxy-port")} -j REDIRECT --to-ports ${rules.inboundPort}`,
  ];
  const outbound: string[] = [
    `-m owner --uid-owner ${rules.proxyUid} ${comment("ignore-proxy-user-id")} -j RETURN`,
    `-o lo ${comment("ignore-loopback")} -j RETURN`,
    ...skipPorts(rules.skipOutboundPorts),
    `-p tcp ${comment("redirect-all-outgoing-to-proxy-port")} -j REDIRECT --to-ports ${rules.outboundPort}`,
  ];
  return [
    "*nat",
    ":PROXY_INIT_REDIRECT - [0:0]",
    ":PROXY_INIT_OUTPUT - [0:0]",
    ...inbound.map((rule) => `-A PROXY_INIT_REDIRECT ${rule}`),
    ...outbound.map((rule) => `-A PROXY_INIT_OUTPUT ${rule}`),
    `-A PREROUTING ${comment("install-proxy-init-prerouting")} -j PROXY_INIT_REDIRECT`,
    `-A OUTPUT ${comment("install-proxy-init-output")} -j PROXY_INIT_OUTPUT`,
    "COMMIT",
    "",
  ].join("\n");
}

function skipPorts(ranges: readonly PortRange[]): string[] {
  return multiportLists(ranges).map((list) => {
    const match = `-p tcp -m multiport --dports ${list.map((range) => format(range, ":")).join(",")}`;
    return `${match} ${comment(`ignore-port-${list.map((range) => format(range, "-")).join(",")}`)} -j RETURN`;
  });
}

function multiportLists(ranges: readonly PortRange[]): PortRange[][] {
  const lists: PortRange[][] = [];
  let slots = MULTIPORT_SLOTS;
  for (const range of ranges) {
    const needed = range.first === range.last ? 1 : 2;
    if (slots + needed > MULTIPORT_SLOTS) {
      lists.push([]);
      slots = 0;
    }
    lists.at(-1)?.push(range);
    slots += needed;
  }
  return lists;
}

function format({ first, last }: PortRange, separator: string): string {
  return first === last ? String(first) : `${first}${separator}${last}`;
}

function comment(text: string): string {
  return `-m comment --comment "proxy-init/${text}"`;
}
