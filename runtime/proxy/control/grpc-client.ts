/** {@link ControlClient} on the wire room's gRPC. The only file of the proxy's control side that knows how calls are carried. */
import type { SecureContext } from "node:tls";
import { type ChannelOptions, GrpcChannel } from "../../wire/grpc/channel.ts";
import { type GrpcStatus, grpcCode } from "../../wire/grpc/status.ts";
import type { ConnectBackoff } from "../config/connect-backoff.ts";
import type { ControlAddress } from "../config/environment.ts";
import { formatAddress } from "../policy/networks.ts";
import { PROXY_VERSION } from "../version.ts";
import { type ControlClient, RpcError, type RpcMethod, type RpcStream, type StreamEvents } from "./client.ts";
import { dialControl } from "./dial.ts";
import { type ReplicaCounts, Replicas } from "./replicas.ts";
import { Resolver } from "./resolver.ts";

/** What TLS needs; a new context is used by the next call. */
export interface TlsSource {
  context(): SecureContext | undefined;
  /** Tells of a new context: then streams made with the old one are re-opened. */
  onChange?(listener: () => void): () => void;
}

/** Told of every call, for `control_request_total` and its kin. */
export interface CallObserver {
  started(): void;
  /** @param code gRPC status. @param milliseconds until the answer, or a stream's first message or end */
  ended(code: number, milliseconds: number): void;
}

export interface GrpcClientOptions {
  readonly address: ControlAddress;
  /** Absent: plain text, which the configuration allows for loopback only. */
  readonly tls?: TlsSource;
  readonly observer: CallObserver;
  /** What names are looked up with. Default: by the system's configuration. */
  readonly resolver?: Resolver;
  /** CONNECT_TIMEOUT of the side: how long one server may take to accept a connection. Default 1,000. */
  readonly connectTimeoutMs?: number;
  /** CONNECT_EXP_BACKOFF_* of the side. Default {@link RETRY}. */
  readonly connectBackoff?: ConnectBackoff | undefined;
  /** Streams made with an old certificate are re-opened within this time, spread so that not all come at once. Default 30 s. */
  readonly retireWithinMs?: number;
}

/** A full set of endpoints of a large service is one message. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const RETIRE_WITHIN_MS = 30_000;
/** All of it: looking its name up, and trying one server after the other. */
const CONNECT_WITHIN_MS = 10_000;
const CONNECT_TIMEOUT_MS = 1_000;
/** A controller whose node lost its power says no goodbye. */
const ALIVE_EVERY_MS = 10_000;
const ALIVE_WITHIN_MS = 3_000;
/** A TLS connection that nobody uses is memory: identity is asked once a day. Long enough that a target called now and then finds it open. */
const IDLE_MS = 60_000;
/** Short: the pauses between a user's tries come on top, and those grow. */
const RETRY = { firstMs: 100, capMs: 3_000 };

interface Generation {
  readonly channel: GrpcChannel;
  readonly context: SecureContext | undefined;
  readonly streams: Set<() => void>;
}

/** A control client that knows with how many servers it deals. */
export interface GrpcControl extends ControlClient {
  readonly servers: ReplicaCounts;
}

export function createGrpcClient(options: GrpcClientOptions): GrpcControl {
  return new GrpcControlClient(options);
}

class GrpcControlClient implements GrpcControl {
  readonly target: string;
  readonly #options: GrpcClientOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #channels = new Set<GrpcChannel>();
  readonly #unsubscribe: (() => void) | undefined;
  readonly #replicas: Replicas;
  #generation: Generation | undefined;
  #closed = false;

  constructor(options: GrpcClientOptions) {
    this.#options = options;
    this.#replicas = new Replicas(options.address, options.resolver ?? new Resolver());
    this.#unsubscribe = options.tls?.onChange?.(() => this.#certificateChanged());
    this.target = formatAddress(options.address.host, options.address.port);
  }

  get servers(): ReplicaCounts {
    return this.#replicas.counts;
  }

  unary<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const { channel } = this.#current();
      const { signal, timeoutMs } = options;
      const began = performance.now();
      const answers: Response[] = [];
      let misunderstood: unknown;
      const settle = (status: GrpcStatus): void => {
        signal?.removeEventListener("abort", abort);
        this.#options.observer.ended(status.code, performance.now() - began);
        const [answer] = answers;
        if (status.code !== grpcCode.ok) reject(this.#explain(status));
        else if (misunderstood !== undefined) reject(this.#misunderstood(misunderstood));
        else if (answer === undefined || answers.length > 1) {
          reject(new RpcError(grpcCode.internal, `${this.target} sent ${answers.length} answers instead of one`));
        } else resolve(answer);
      };
      const abort = (): void => {
        call.cancel();
        settle({ code: grpcCode.cancelled, message: "cancelled" });
      };
      this.#options.observer.started();
      const events = {
        onMessage: (bytes: Buffer) => {
          try {
            answers.push(method.responseDeserialize(bytes));
          } catch (error) {
            misunderstood = error;
          }
        },
        onEnd: settle,
      };
      const call = channel.call(method.path, method.requestSerialize(request), events, timeoutMs);
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  stream<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    events: StreamEvents<Response>,
  ): RpcStream {
    let generation: Generation;
    try {
      generation = this.#current();
    } catch (error) {
      return failed(events, error);
    }
    const began = performance.now();
    let answered = false;
    let over = false;
    const answer = (code: number): void => {
      if (!answered) this.#options.observer.ended(code, performance.now() - began);
      answered = true;
    };
    this.#options.observer.started();
    const finish = (code: number, error: RpcError | undefined): void => {
      if (over) return;
      over = true;
      generation.streams.delete(retire);
      answer(code);
      events.onEnd(error);
    };
    const call = generation.channel.call(method.path, method.requestSerialize(request), {
      onMessage: (bytes) => {
        if (over) return;
        answer(grpcCode.ok);
        try {
          events.onMessage(method.responseDeserialize(bytes));
        } catch (error) {
          // Whatever a server sends must not end the proxy.
          call.cancel();
          finish(grpcCode.internal, this.#misunderstood(error));
        }
      },
      onEnd: (status) => finish(status.code, status.code === grpcCode.ok ? undefined : this.#explain(status)),
    });
    const retire = (): void => {
      call.cancel();
      finish(grpcCode.ok, undefined);
    };
    generation.streams.add(retire);
    return {
      cancel: () => {
        if (over) return;
        over = true;
        generation.streams.delete(retire);
        answer(grpcCode.cancelled);
        call.cancel();
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#generation = undefined;
    for (const channel of this.#channels) channel.close();
    this.#channels.clear();
  }

  /** The channel made with the newest certificate. @throws RpcError while there is none */
  #current(): Generation {
    if (this.#closed) throw new RpcError(grpcCode.cancelled, `the client of ${this.target} is closed`);
    const { tls } = this.#options;
    const context = tls?.context();
    if (tls !== undefined && context === undefined) {
      throw new RpcError(grpcCode.unavailable, "this proxy has no valid certificate");
    }
    const present = this.#generation;
    if (present !== undefined && present.context === context) return present;
    if (present !== undefined) this.#retire(present);
    const generation = { channel: this.#open(context), context, streams: new Set<() => void>() };
    this.#generation = generation;
    return generation;
  }

  #certificateChanged(): void {
    const present = this.#generation;
    if (present === undefined || present.context === this.#options.tls?.context()) return;
    this.#generation = undefined;
    this.#retire(present);
  }

  #open(context: SecureContext | undefined): GrpcChannel {
    const { address, connectTimeoutMs = CONNECT_TIMEOUT_MS, connectBackoff } = this.#options;
    const { serverName } = address;
    const tls = context === undefined || serverName === undefined ? undefined : { context, serverName };
    const channel: GrpcChannel = new GrpcChannel({
      dial: dialControl({ replicas: this.#replicas, connectTimeoutMs, ...(tls === undefined ? {} : { tls }) }),
      scheme: tls === undefined ? "http" : "https",
      authority: tls?.serverName ?? this.target,
      userAgent: `weft-proxy/${PROXY_VERSION}`,
      maxMessageBytes: MAX_MESSAGE_BYTES,
      connectWithinMs: CONNECT_WITHIN_MS,
      aliveEveryMs: ALIVE_EVERY_MS,
      aliveWithinMs: ALIVE_WITHIN_MS,
      idleMs: IDLE_MS,
      retry: connectBackoff === undefined ? RETRY : retryOf(connectBackoff),
      onRetired: () => this.#channels.delete(channel),
    });
    this.#channels.add(channel);
    return channel;
  }

  /** Its open streams go on until they are re-opened; no new call is made on it. */
  #retire(generation: Generation): void {
    const within = this.#options.retireWithinMs ?? RETIRE_WITHIN_MS;
    for (const retire of generation.streams) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        retire();
      }, Math.random() * within);
      this.#timers.add(timer);
    }
    generation.channel.retire();
  }

  #explain({ code, message }: GrpcStatus): RpcError {
    return new RpcError(code, `${this.target}: ${message}`);
  }

  #misunderstood(cause: unknown): RpcError {
    return new RpcError(grpcCode.internal, `${this.target} sent what was not understood`, { cause });
  }
}

function retryOf({ minMs, maxMs, jitter }: ConnectBackoff): ChannelOptions["retry"] {
  return { firstMs: minMs, capMs: maxMs, jitter };
}

/** A stream that could not begin ends on the next turn, as any other. */
function failed<Response>(events: StreamEvents<Response>, error: unknown): RpcStream {
  const reason = error instanceof RpcError ? error : new RpcError(grpcCode.internal, String(error), { cause: error });
  const immediate = setImmediate(() => events.onEnd(reason));
  return { cancel: () => clearImmediate(immediate) };
}
