/** Sets of IP addresses: CIDR blocks as policies and settings name them. */
import { isIP } from "node:net";
import type { IPAddress, IPNetwork } from "../../api/gen/io/linkerd/proxy/net.ts";

/** `bits` holds the address as a number: 32 bits for IPv4, 128 for IPv6. */
export interface Network {
  readonly family: 4 | 6;
  readonly bits: bigint;
  readonly prefix: number;
}

export class NetworkError extends Error {
  constructor(text: string) {
    super(`"${text}" is not a network (address/prefix)`);
    this.name = "NetworkError";
  }
}

export type AddressTest = (ip: string) => boolean;

/** Reads `10.0.0.0/8`, `fd00::/8` or a single address. @throws NetworkError */
export function parseNetwork(text: string): Network {
  const [ip = "", length] = text.trim().split("/");
  const family = isIP(ip);
  if (family !== 4 && family !== 6) throw new NetworkError(text);
  const width = family === 4 ? 32 : 128;
  const prefix = length === undefined ? width : Number(length);
  if (!/^\d{0,3}$/.test(length ?? "") || length === "" || prefix > width) throw new NetworkError(text);
  return { family, bits: addressBits(ip, family), prefix };
}

/** From the wire. undefined where it names no address. */
export function networkFromWire(network: IPNetwork | undefined): Network | undefined {
  const ip = network?.ip?.ip;
  if (network === undefined || ip === undefined) return undefined;
  return ip.$case === "ipv4"
    ? { family: 4, bits: BigInt(ip.value >>> 0), prefix: network.prefixLen }
    : { family: 6, bits: (ip.value.first << 64n) | ip.value.last, prefix: network.prefixLen };
}

/** Tests whether an address lies in one of `networks` and in none of `except`. */
export function compileNetworks(networks: readonly Network[], except: readonly Network[] = []): AddressTest {
  const inside = networks.map(compileNetwork);
  const outside = except.map(compileNetwork);
  return (ip) => {
    const address = readAddress(ip);
    return address !== undefined && inside.some((test) => test(address)) && !outside.some((test) => test(address));
  };
}

/** Whether the networks hold every address there is: then nothing needs to be looked at. */
export function coversEverything(networks: readonly Network[]): boolean {
  const whole = (family: 4 | 6): boolean =>
    networks.some((network) => network.family === family && network.prefix === 0);
  return whole(4) && whole(6);
}

interface NumericAddress {
  readonly family: 4 | 6;
  readonly bits: bigint;
}

function compileNetwork({ family, bits, prefix }: Network): (address: NumericAddress) => boolean {
  const shift = BigInt((family === 4 ? 32 : 128) - prefix);
  const wanted = bits >> shift;
  return (address) => address.family === family && address.bits >> shift === wanted;
}

function readAddress(ip: string): NumericAddress | undefined {
  // A dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d.
  const plain = ip.startsWith("::ffff:") && ip.includes(".") ? ip.slice("::ffff:".length) : ip;
  const family = isIP(plain);
  return family === 4 || family === 6 ? { family, bits: addressBits(plain, family) } : undefined;
}

function addressBits(ip: string, family: 4 | 6): bigint {
  if (family === 4) return BigInt(ipv4Number(ip));
  // The URL parser writes IPv6 in its canonical form, without embedded IPv4 and zone.
  const canonical = new URL(`http://[${ip.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...front, ...Array<string>(8 - front.length - back.length).fill("0"), ...back];
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

/** An IPv4 address as the wire's fixed32: 10.1.2.3 → 0x0A010203. */
export function ipv4Number(ip: string): number {
  return ip.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

export function ipToWire(ip: string): IPAddress {
  const plain = ip.startsWith("::ffff:") && ip.includes(".") ? ip.slice("::ffff:".length) : ip;
  if (isIP(plain) === 4) return { ip: { $case: "ipv4", value: ipv4Number(plain) } };
  const bits = addressBits(plain, 6);
  return { ip: { $case: "ipv6", value: { first: bits >> 64n, last: bits & 0xffff_ffff_ffff_ffffn } } };
}

/** Text of an address from the wire; IPv6 in its canonical form. undefined where there is none. */
export function ipFromWire(address: IPAddress | undefined): string | undefined {
  const ip = address?.ip;
  if (ip === undefined) return undefined;
  if (ip.$case === "ipv4") {
    const value = ip.value;
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
  }
  const digits = ((ip.value.first << 64n) | ip.value.last).toString(16).padStart(32, "0");
  const groups = digits.match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** `ip:port`, IPv6 in brackets. */
export function formatAddress(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}
