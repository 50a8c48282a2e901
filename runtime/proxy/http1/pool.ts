/** Connections to one server address between their exchanges. The last one used is used next, so that the others can go. */
import type { Http1Upstreams } from "../http/service.ts";
import type { TcpSeries } from "../metrics/series.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { UpstreamConnection, type UpstreamHome } from "./upstream-connection.ts";

export interface PoolOptions {
  /** Makes a connection that is ready for a request. Rejects with ConnectError or PeerIdentityError: nothing was sent then. */
  readonly connect: (owner: StreamOwner) => Promise<ByteStream>;
  /** Asked for with the first connection. */
  readonly tcp: () => TcpSeries;
  readonly idleMs: number;
  readonly maxIdle: number;
}

export class UpstreamPool implements UpstreamHome, Http1Upstreams {
  readonly #options: PoolOptions;
  #tcp: TcpSeries | undefined;
  readonly #idle: UpstreamConnection[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #generation = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get tcp(): TcpSeries {
    this.#tcp ??= this.#options.tcp();
    return this.#tcp;
  }

  /** An idle connection, if there is one. */
  take(): UpstreamConnection | undefined {
    const upstream = this.#idle.pop();
    if (upstream !== undefined) upstream.slot = -1;
    return upstream;
  }

  /** A new connection. Rejects with ConnectError or PeerIdentityError. */
  async connect(): Promise<UpstreamConnection> {
    const upstream = new UpstreamConnection(this, this.#generation);
    upstream.stream = await this.#options.connect(upstream);
    this.tcp.opened();
    return upstream;
  }

  giveBack(upstream: UpstreamConnection): void {
    if (this.#closed || upstream.generation !== this.#generation || this.#idle.length >= this.#options.maxIdle) {
      upstream.close();
      return;
    }
    upstream.idleSince = performance.now();
    upstream.slot = this.#idle.length;
    this.#idle.push(upstream);
    this.#timer ??= setTimeout(this.#sweep, this.#options.idleMs);
  }

  forget(upstream: UpstreamConnection): void {
    const { slot } = upstream;
    if (slot < 0) return;
    upstream.slot = -1;
    const last = this.#idle.pop() as UpstreamConnection;
    if (last === upstream) return;
    last.slot = slot;
    this.#idle[slot] = last;
  }

  readonly #sweep = (): void => {
    this.#timer = undefined;
    const now = performance.now();
    const deadline = now - this.#options.idleMs;
    for (const upstream of this.#idle.filter(({ idleSince }) => idleSince <= deadline)) upstream.close();
    if (this.#idle.length === 0) return;
    const oldest = Math.min(...this.#idle.map(({ idleSince }) => idleSince));
    this.#timer = setTimeout(this.#sweep, Math.max(1, oldest + this.#options.idleMs - now));
  };

  /** New connections from now on: idle ones are closed, others after their exchange. */
  renew(): void {
    this.#generation++;
    for (const upstream of [...this.#idle]) upstream.close();
  }

  get idle(): number {
    return this.#idle.length;
  }

  /** Closes what is idle now, and what comes back later. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const upstream of [...this.#idle]) upstream.close();
  }
}
