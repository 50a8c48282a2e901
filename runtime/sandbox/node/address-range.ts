/** The sandbox's networks: one /16 that nothing else on this machine uses. */

/** All of `10.N.0.0/16`, cut up. IPv4 only. */
export interface AddressPlan {
  readonly cidr: string;
  /** The host's end of the link into the sandbox; the API and DNS listen here. */
  readonly hostAddress: string;
  /** The sandbox's end, the gateway of pods. */
  readonly gateway: string;
  /** A node's address is that of its hostNetwork pods. */
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly podCidr: string }[];
  readonly serviceCidr: string;
  readonly dnsAddress: string;
}

const NODES = 2;
/** Inside what meshes take for cluster networks (10/8, 100.64/10), away from what k3s, kind, minikube and Docker use. */
const CANDIDATES: readonly string[] = [
  ...Array.from({ length: 50 }, (_, index) => `10.${200 + index}`),
  ...Array.from({ length: 20 }, (_, index) => `100.${100 + index}`),
];

/** @param prefix the two first numbers of a /16, e.g. `10.200` */
export function addressPlan(prefix: string): AddressPlan {
  return {
    cidr: `${prefix}.0.0/16`,
    hostAddress: `${prefix}.0.1`,
    gateway: `${prefix}.0.254`,
    nodes: Array.from({ length: NODES }, (_, index) => ({
      name: `node${index + 1}`,
      address: `${prefix}.100.${1 + index}`,
      podCidr: `${prefix}.${1 + index}.0/24`,
    })),
    serviceCidr: `${prefix}.128.0/17`,
    dnsAddress: `${prefix}.128.10`,
  };
}

/** @param routes destinations of the host's routes and addresses, e.g. `10.0.0.0/8`, `192.0.2.2`; `default` counts for none */
export function freePlans(routes: readonly string[]): AddressPlan[] {
  const taken = routes.filter((route) => route !== "default" && !route.includes(":")).map(parseCidr);
  return CANDIDATES.map(addressPlan).filter((plan) => !taken.some((range) => overlaps(range, parseCidr(plan.cidr))));
}

interface Range {
  readonly first: number;
  readonly last: number;
}

function parseCidr(cidr: string): Range {
  const [address = "", bits = "32"] = cidr.split("/");
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(toNumber(address) / size) * size;
  return { first, last: first + size - 1 };
}

const overlaps = (a: Range, b: Range): boolean => a.first <= b.last && b.first <= a.last;

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}

/** Addresses of one node's pods. One given back is the last to be given out again: clients may remember it. */
export class AddressPool {
  readonly #range: Range;
  readonly #taken = new Set<number>();
  #cursor: number;

  /** Network, broadcast and the first address are never given out. */
  constructor(cidr: string) {
    this.#range = parseCidr(cidr);
    this.#cursor = this.#range.first + 1;
  }

  /** @throws Error when all are in use */
  take(): string {
    const { first, last } = this.#range;
    for (let tries = first + 2; tries < last; tries++) {
      this.#cursor = this.#cursor + 1 < last ? this.#cursor + 1 : first + 2;
      if (this.#taken.has(this.#cursor)) continue;
      this.#taken.add(this.#cursor);
      return toAddress(this.#cursor);
    }
    throw new Error(`no address is free on this node (${last - first - 2} pods run on it)`);
  }

  release(address: string): void {
    this.#taken.delete(toNumber(address));
  }
}
