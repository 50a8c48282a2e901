/**
 * A gRPC channel to one address: connects when first used and anew when a connection has ended; calls wait for a connection
 * that is being made, and end with Unavailable when none comes about.
 */

import { type CallEvents, ClientCall, type GrpcCall } from "./call.ts";
import { ChannelConnection } from "./channel-connection.ts";
import { frameMessage } from "./message-reader.ts";
import { grpcCode } from "./status.ts";
import type { Dial } from "./transport.ts";

export interface ChannelOptions {
  readonly dial: Dial;
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly userAgent: string;
  readonly maxMessageBytes: number;
  readonly connectWithinMs: number;
  /** After so long a silence on open streams the server is asked for a sign of life, milliseconds. */
  readonly aliveEveryMs: number;
  readonly aliveWithinMs: number;
  /** A connection without streams is closed after it, milliseconds. */
  readonly idleMs: number;
  /** After a failed try nobody is called for so long, growing from the first to the second, milliseconds. */
  readonly retry: {
    readonly firstMs: number;
    readonly capMs: number;
    /** What is added to a pause at random, as a share of it. Absent: a pause is between half and all of it. */
    readonly jitter?: number;
  };
  /** It was retired, and its last connection has ended. */
  readonly onRetired?: () => void;
}

export class GrpcChannel {
  readonly #options: ChannelOptions;
  readonly #waiting = new Set<ClientCall>();
  readonly #connections = new Set<ChannelConnection>();
  readonly #late = new Set<NodeJS.Immediate>();
  #current: ChannelConnection | undefined;
  #failures = 0;
  #retryAt = 0;
  #lastError: Error | undefined;
  #retired = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** Calls a method with one request message; `events` are told on later turns. */
  call(path: string, request: Buffer, events: CallEvents, timeoutMs?: number): GrpcCall {
    const { scheme, authority, userAgent, maxMessageBytes } = this.#options;
    const call = new ClientCall({
      target: { scheme, authority, path, userAgent },
      request: frameMessage(request),
      events,
      maxMessageBytes,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      again: (failed) => this.#submit(failed),
      done: (ended) => {
        this.#waiting.delete(ended);
        this.#startWaiting();
      },
    });
    if (!this.#submit(call)) this.#failLater(call);
    return call;
  }

  /** No further calls; the open ones go on, and their connection ends with them. */
  retire(): void {
    this.#retired = true;
    if (this.#connections.size === 0) this.#options.onRetired?.();
    for (const connection of [...this.#connections]) {
      if (connection.http2.openStreams + this.#waiting.size === 0) connection.close(new Error("the channel is closed"));
    }
  }

  /** Ends all calls. */
  close(): void {
    this.#retired = true;
    const error = new Error("the channel is closed");
    for (const connection of [...this.#connections]) connection.close(error);
    for (const immediate of this.#late) clearImmediate(immediate);
    for (const call of [...this.#waiting]) call.fail({ code: grpcCode.cancelled, message: error.message });
  }

  /** @returns false where it will not be carried now */
  #submit(call: ClientCall): boolean {
    if (this.#retired) return false;
    if (this.#current === undefined) {
      if (performance.now() < this.#retryAt) return false;
      this.#connect();
    }
    this.#waiting.add(call);
    this.#startWaiting();
    return true;
  }

  #startWaiting(): void {
    const connection = this.#current;
    if (connection === undefined) return;
    for (const call of this.#waiting) {
      if (!connection.ready) return;
      this.#waiting.delete(call);
      call.start(connection.http2);
      this.#failures = 0;
      connection.watchLife();
    }
  }

  #connect(): void {
    const connection: ChannelConnection = new ChannelConnection(this.#options, {
      onReady: () => this.#startWaiting(),
      onDraining: () => this.#lost(connection, new Error("the server goes away")),
      onClose: (error) => {
        this.#connections.delete(connection);
        this.#lost(connection, error);
        if (this.#retired && this.#connections.size === 0) this.#options.onRetired?.();
      },
    });
    this.#connections.add(connection);
    this.#current = connection;
  }

  /** `connection` takes no more calls. Those that wait for one get a second try, then they fail. */
  #lost(connection: ChannelConnection, error: Error): void {
    if (this.#current !== connection) return;
    this.#current = undefined;
    if (connection.connected && this.#waiting.size > 0 && this.#failures === 0) {
      this.#failures++;
      this.#connect();
      return;
    }
    if (connection.connected && this.#waiting.size === 0) return;
    const { firstMs, capMs, jitter } = this.#options.retry;
    const pause = Math.min(capMs, firstMs * 2 ** Math.min(this.#failures++, 30));
    const share = jitter === undefined ? 0.5 + Math.random() / 2 : 1 + Math.random() * jitter;
    this.#retryAt = performance.now() + pause * share;
    this.#lastError = error;
    for (const call of [...this.#waiting]) call.fail({ code: grpcCode.unavailable, message: error.message });
  }

  /** A call that could not begin ends on a later turn, as any other. */
  #failLater(call: ClientCall): void {
    const message = this.#retired ? "the channel is closed" : (this.#lastError?.message ?? "not connected");
    this.#waiting.add(call);
    const immediate = setImmediate(() => {
      this.#late.delete(immediate);
      call.fail({ code: grpcCode.unavailable, message });
    });
    this.#late.add(immediate);
  }
}
