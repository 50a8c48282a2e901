/**
 * A stream of the control plane that is always wanted: re-opened when it ends, with pauses that grow, and by the limits of
 * reference 4.3. What it brought stays with its user meanwhile.
 */
import type { StreamLimits } from "../config/config.ts";
import { Backoff } from "./backoff.ts";
import { type ControlClient, RpcError, type RpcMethod, type RpcStream, rpcStatus } from "./client.ts";

export interface WatchOptions<Request, Response> {
  readonly client: ControlClient;
  readonly method: RpcMethod<Request, Response>;
  readonly request: Request;
  readonly limits: StreamLimits;
  /** @param first the first message of a stream: the whole state, where the method sends differences afterwards */
  readonly onMessage: (message: Response, first: boolean) => void;
  /** @returns `stop` where trying again is useless. The watch goes on otherwise. */
  readonly onError: (error: RpcError) => "retry" | "stop";
}

/** A watch as its owner keeps it, whatever it is about. */
export interface Watching {
  /** Whether the stream that is open now has brought something: what its user knows is current. */
  readonly live: boolean;
  stop(): void;
}

const FIRST_PAUSE_MS = 100;
/** Tries fail here while there is no connection; how often that is tried is the client's matter. */
const LONGEST_PAUSE_MS = 3_000;
/** A stream that lived shorter counts as failed, whatever it brought: a server in trouble is not asked without pause. */
const HEALTHY_AFTER_MS = 5_000;

export class Watch<Request, Response> implements Watching {
  readonly #options: WatchOptions<Request, Response>;
  readonly #backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
  #stream: RpcStream | undefined;
  #retry: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #lifetime: NodeJS.Timeout | undefined;
  #openedAt = 0;
  #stopped = false;
  #live = false;

  constructor(options: WatchOptions<Request, Response>) {
    this.#options = options;
    this.#open();
  }

  get live(): boolean {
    return this.#live;
  }

  stop(): void {
    this.#stopped = true;
    this.#clear();
    clearTimeout(this.#retry);
  }

  #open(): void {
    const { client, method, request, limits } = this.#options;
    let first = true;
    this.#openedAt = performance.now();
    this.#stream = client.stream(method, request, {
      onMessage: (message) => {
        this.#live = true;
        this.#expectWithin(limits.idleMs, "sent nothing for");
        const isFirst = first;
        first = false;
        this.#options.onMessage(message, isFirst);
      },
      onEnd: (error) => this.#ended(error),
    });
    this.#expectWithin(limits.initialMs, "sent no first message within");
    if (limits.lifetimeMs !== undefined) {
      // Somewhat earlier than the limit, so that streams opened together part.
      const lifetime = limits.lifetimeMs * (0.9 + Math.random() / 10);
      this.#lifetime = setTimeout(() => this.#reopen(), lifetime);
    }
  }

  #expectWithin(limitMs: number | undefined, problem: string): void {
    clearTimeout(this.#silence);
    if (limitMs === undefined) return;
    this.#silence = setTimeout(() => {
      const reason = `${this.#options.client.target} ${problem} ${limitMs} ms`;
      // Silence after the first message is how a quiet target looks: no failure, only a stream to renew.
      if (this.#live) this.#reopen();
      else this.#ended(new RpcError(rpcStatus.deadlineExceeded, reason));
    }, limitMs);
  }

  #reopen(): void {
    if (this.#stopped) return;
    this.#clear();
    this.#open();
  }

  #ended(error: RpcError | undefined): void {
    const wasLive = this.#live;
    this.#clear();
    if (this.#stopped) return;
    if (error !== undefined && this.#options.onError(error) === "stop") {
      this.#stopped = true;
      return;
    }
    if (this.#stopped) return;
    if (wasLive && performance.now() - this.#openedAt >= HEALTHY_AFTER_MS) this.#backoff.reset();
    this.#retry = setTimeout(() => this.#open(), this.#backoff.next());
  }

  #clear(): void {
    this.#live = false;
    clearTimeout(this.#silence);
    clearTimeout(this.#lifetime);
    this.#stream?.cancel();
    this.#stream = undefined;
  }
}
