/**
 * Where one address of the control plane leads, and in which order its servers are tried. A connection goes to one of them, at random;
 * the next one to another where that failed. Names are looked up when a connection is to be made, once what was found has outlived its
 * TTL or was of no use: an idle proxy asks nobody.
 */
import { isIP } from "node:net";
import type { ControlAddress } from "../config/environment.ts";
import { formatAddress } from "../policy/networks.ts";
import type { Address } from "../transport/stream.ts";
import type { Resolver } from "./resolver.ts";

export interface ReplicaCounts {
  readonly known: number;
  readonly connected: number;
}

export class Replicas {
  readonly #resolver: Resolver;
  readonly #fixed: readonly Address[] | undefined;
  readonly #host: string;
  readonly #port: number;
  #found: readonly Address[] = [];
  /** Monotonic milliseconds. */
  #validUntil = 0;
  /** When each failed last; of those that are known now. */
  #failures = new Map<string, number>();
  readonly #connected = new Map<string, number>();

  constructor({ host, port }: ControlAddress, resolver: Resolver) {
    this.#resolver = resolver;
    this.#host = host;
    this.#port = port;
    if (isIP(host) !== 0) this.#fixed = [{ ip: host, port }];
    // As Linkerd has it: nobody is asked what that means.
    else if (host === "localhost") this.#fixed = [{ ip: "127.0.0.1", port }];
  }

  /** In the order in which they are to be tried. Rejects with Error. */
  async find(signal: AbortSignal): Promise<readonly Address[]> {
    if (this.#fixed !== undefined) return this.#fixed;
    if (performance.now() >= this.#validUntil) await this.#resolve(signal);
    const order = this.#found.map((address) => ({
      address,
      failedAt: this.#failures.get(keyOf(address)) ?? 0,
      random: Math.random(),
    }));
    order.sort((a, b) => a.failedAt - b.failedAt || a.random - b.random);
    return order.map(({ address }) => address);
  }

  /** It could not be reached, or the connection with it was lost: it is tried last for now. */
  failed(address: Address): void {
    this.#failures.set(keyOf(address), performance.now());
  }

  /** A connection with it was made. @returns to be called when that is over */
  connected(address: Address): () => void {
    const key = keyOf(address);
    this.#connected.set(key, (this.#connected.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#connected.get(key) ?? 1) - 1;
      if (left === 0) this.#connected.delete(key);
      else this.#connected.set(key, left);
    };
  }

  /** How many are known, and with how many there is a connection now. */
  get counts(): ReplicaCounts {
    const known = new Set([...(this.#fixed ?? this.#found).map(keyOf), ...this.#connected.keys()]);
    return { known: known.size, connected: this.#connected.size };
  }

  /** None of them could be reached: DNS may know better by now. */
  forget(): void {
    this.#validUntil = 0;
  }

  /** What was known serves where nobody answers. */
  async #resolve(signal: AbortSignal): Promise<void> {
    try {
      const { addresses, ttlMs } = await this.#resolver.resolve(this.#host, this.#port, signal);
      this.#found = addresses;
      this.#validUntil = performance.now() + ttlMs;
      const known = new Set(addresses.map(keyOf));
      this.#failures = new Map([...this.#failures].filter(([key]) => known.has(key)));
    } catch (error) {
      if (signal.aborted || this.#found.length === 0) throw error;
    }
  }
}

function keyOf({ ip, port }: Address): string {
  return formatAddress(ip, port);
}
