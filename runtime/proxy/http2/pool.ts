/**
 * HTTP/2 connections to one server. The fewer, the more requests share a write and a TLS record: a second one is made only
 * where the first has no room.
 */
import type { TcpSeries } from "../metrics/series.ts";
import type { ByteStream, StreamOwner } from "../transport/stream.ts";
import { ClientSession, type ClientSessionEvents } from "./client-session.ts";
import type { Http2ClientParams } from "./limits.ts";
import type { Http2Upstreams } from "./upstreams.ts";

export interface Http2PoolOptions {
  /** Makes a connection that is ready for the preface. Rejects with ConnectError or PeerIdentityError. */
  readonly connect: (owner: StreamOwner) => Promise<ByteStream>;
  /** Asked for with the first connection. */
  readonly tcp: () => TcpSeries;
  /** How long a connection without streams is kept, milliseconds. */
  readonly idleMs: number;
  /** Windows and signs of life. Default: Linkerd's. */
  readonly params?: Http2ClientParams | undefined;
}

interface Waiter {
  readonly resolve: (session: ClientSession) => void;
  readonly reject: (error: Error) => void;
}

export class Http2Pool implements Http2Upstreams, ClientSessionEvents {
  readonly #options: Http2PoolOptions;
  #tcp: TcpSeries | undefined;
  /** That take requests, or will again. */
  readonly #sessions: ClientSession[] = [];
  readonly #all = new Set<ClientSession>();
  #waiters: Waiter[] = [];
  #connecting = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: Http2PoolOptions) {
    this.#options = options;
  }

  get tcp(): TcpSeries {
    this.#tcp ??= this.#options.tcp();
    return this.#tcp;
  }

  take(): ClientSession | undefined {
    for (const session of this.#sessions) if (session.ready) return session;
    return undefined;
  }

  connect(): Promise<ClientSession> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new Error("the endpoint is gone"));
        return;
      }
      this.#waiters.push({ resolve, reject });
      this.#dialIfNeeded();
    });
  }

  #dial(): void {
    this.#connecting = true;
    const session = new ClientSession(this, this.#options.params);
    this.#options.connect(session).then(
      (stream) => {
        this.#connecting = false;
        session.start(stream);
        if (session.closed) {
          this.#failWaiters(new Error("the server closed the connection before its first request"));
          return;
        }
        this.#all.add(session);
        if (this.#closed) {
          session.close();
          this.#failWaiters(new Error("the endpoint is gone"));
          return;
        }
        this.#sessions.push(session);
        this.onRoom(session);
        this.#sweepLater();
      },
      (error: Error) => {
        this.#connecting = false;
        this.#failWaiters(error);
      },
    );
  }

  #failWaiters(error: Error): void {
    for (const { reject } of this.#waiters.splice(0)) reject(error);
  }

  /** Those who wait open their streams later in this turn: each is let go only when the one before has, or has not. */
  onRoom(session: ClientSession): void {
    const [first] = this.#waiters;
    if (first === undefined || !session.ready) return;
    this.#waiters.shift();
    first.resolve(session);
    if (this.#waiters.length > 0) setImmediate(() => this.#serveWaiters());
  }

  #serveWaiters(): void {
    const session = this.take();
    if (session !== undefined) this.onRoom(session);
    else this.#dialIfNeeded();
  }

  /** Not while a connection may still turn out to have room. */
  #dialIfNeeded(): void {
    if (this.#waiters.length === 0 || this.#connecting || this.#closed) return;
    if (this.#sessions.every(({ settled }) => settled)) this.#dial();
  }

  onFull(session: ClientSession): void {
    if (session.openStreams > 0) this.#dialIfNeeded();
    else this.#failWaiters(new Error("the server takes no requests"));
  }

  onDraining(session: ClientSession): void {
    this.#forget(session);
  }

  onIdle(): void {
    this.#sweepLater();
  }

  onClosed(session: ClientSession): void {
    this.#forget(session);
    this.#all.delete(session);
  }

  #forget(session: ClientSession): void {
    const index = this.#sessions.indexOf(session);
    if (index >= 0) this.#sessions.splice(index, 1);
    this.#dialIfNeeded();
  }

  #sweepLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const before = performance.now() - this.#options.idleMs;
      for (const session of [...this.#sessions]) {
        if (session.openStreams === 0 && session.idleSince <= before) session.close();
      }
      if (this.#sessions.length > 0) this.#sweepLater();
    }, this.#options.idleMs);
  }

  /** New connections from now on; the others end with their last stream. */
  renew(): void {
    for (const session of [...this.#all]) session.retire();
  }

  /** Closes what is idle now, and the others after their last stream. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.renew();
    this.#failWaiters(new Error("the endpoint is gone"));
  }
}
