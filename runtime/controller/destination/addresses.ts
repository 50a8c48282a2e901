/** IP addresses in the mesh API's messages. */
import { isIP } from "node:net";
import type { IPAddress, IPNetwork, TcpAddress } from "../../api/gen/io/linkerd/proxy/net.ts";

/** @throws RangeError where `text` is no IP address */
export function toIpAddress(text: string): IPAddress {
  if (isIP(text) === 4) {
    const value = text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    return { ip: { $case: "ipv4", value } };
  }
  if (isIP(text) !== 6) throw new RangeError(`"${text}" is no IP address`);
  const groups = ipv6Groups(text);
  const half = (from: number): bigint =>
    groups.slice(from, from + 4).reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
  return { ip: { $case: "ipv6", value: { first: half(0), last: half(4) } } };
}

/** The usual text form; undefined for a message without an address. IPv6 without zero compression. */
export function fromIpAddress(address: IPAddress | undefined): string | undefined {
  const ip = address?.ip;
  if (ip === undefined) return undefined;
  if (ip.$case === "ipv4") {
    return [24, 16, 8, 0].map((shift) => (ip.value >>> shift) & 0xff).join(".");
  }
  const groups = [ip.value.first, ip.value.last].flatMap((half) =>
    [48n, 32n, 16n, 0n].map((shift) => ((half >> shift) & 0xffffn).toString(16)),
  );
  const text = groups.join(":");
  // Kubernetes writes the canonical form (RFC 5952), which URL parsing gives.
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

export function toTcpAddress(ip: string, port: number): TcpAddress {
  return { ip: toIpAddress(ip), port };
}

/** @param cidr e.g. `10.0.0.0/8`; a bare address is a network of one */
export function toNetwork(cidr: string): IPNetwork {
  const [ip = "", length] = cidr.split("/");
  return { ip: toIpAddress(ip), prefixLen: length === undefined ? (isIP(ip) === 4 ? 32 : 128) : Number(length) };
}

function ipv6Groups(text: string): number[] {
  const [head = "", tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split("::");
  const parse = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const first = parse(head);
  const last = tail === undefined ? [] : parse(tail);
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
}
