/**
 * {@link InboundPolicies} over InboundServerPolicies.WatchPort. Some ports are watched from the start, others from their first
 * use until INBOUND_DISCOVERY_IDLE_TIMEOUT after the last one. While the controller is away, what it said last holds.
 */
import { InboundServerPoliciesService, Server } from "../../api/gen/io/linkerd/proxy/inbound.ts";
import type { StreamLimits } from "../config/config.ts";
import { type ControlClient, type RpcError, rpcStatus } from "../control/client.ts";
import { Watch, type Watching } from "../control/watch.ts";
import type { Logger } from "../log.ts";
import { type DefaultPolicyOptions, defaultServer } from "./defaults.ts";
import type { InboundPolicies, InboundServer } from "./inbound.ts";
import { compileServer, InvalidPolicyError } from "./server.ts";

export interface WatchedPoliciesOptions {
  readonly client: ControlClient;
  readonly workload: string;
  readonly limits: StreamLimits;
  readonly defaults: DefaultPolicyOptions;
  /** Watched from the start and for good. */
  readonly ports: readonly number[];
  readonly idleMs: number;
  readonly log: Logger;
}

interface WatchedPort {
  server: InboundServer;
  watch: Watching | undefined;
  used: number;
  /** What the controller said last: a stream that begins anew says all of it again. */
  said: Uint8Array | undefined;
  readonly eager: boolean;
  readonly followers: Set<(server: InboundServer) => void>;
}

/** Somebody who knocks at every port must not make a stream of each. */
const MOST_WATCHED_PORTS = 1_000;

export class WatchedInboundPolicies implements InboundPolicies {
  readonly #options: WatchedPoliciesOptions;
  readonly #ports = new Map<number, WatchedPort>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: WatchedPoliciesOptions) {
    this.#options = options;
    for (const port of options.ports) this.#add(port, true);
    this.#sweeper = setInterval(() => this.#sweep(), Math.max(options.idleMs / 3, 10));
    this.#sweeper.unref();
  }

  port(port: number): InboundServer {
    const watched = this.#ports.get(port) ?? this.#add(port, false);
    watched.used = performance.now();
    return watched.server;
  }

  follow(port: number, listener: (server: InboundServer) => void): () => void {
    const { followers } = this.#ports.get(port) ?? this.#add(port, false);
    followers.add(listener);
    return () => followers.delete(listener);
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const { watch } of this.#ports.values()) watch?.stop();
    this.#ports.clear();
  }

  #add(port: number, eager: boolean): WatchedPort {
    const { defaults, log, client, limits, workload } = this.#options;
    const watched: WatchedPort = {
      server: defaultServer(defaults, port),
      watch: undefined,
      used: 0,
      said: undefined,
      eager,
      followers: new Set(),
    };
    if (!eager && this.#ports.size >= MOST_WATCHED_PORTS) {
      log.warn(`more than ${MOST_WATCHED_PORTS} ports in use: port ${port} goes by the default policy`);
      return watched;
    }
    this.#ports.set(port, watched);
    watched.watch = new Watch({
      client,
      limits,
      method: InboundServerPoliciesService.watchPort,
      request: { workload, port },
      onMessage: (server: Server) => this.#apply(port, watched, server),
      onError: (error) => this.#failed(port, error),
    });
    return watched;
  }

  #apply(port: number, watched: WatchedPort, server: Server): void {
    const said = Server.encode(server).finish();
    // The same objects stay in use: what hangs on them, as rate limits, goes on.
    if (watched.said !== undefined && Buffer.compare(watched.said, said) === 0) return;
    try {
      watched.server = compileServer(server, port);
      watched.said = said;
      this.#options.log.debug(`policy of port ${port}: ${server.labels["name"] ?? "?"} (${watched.server.protocol})`);
      for (const follower of [...watched.followers]) follower(watched.server);
    } catch (error) {
      if (!(error instanceof InvalidPolicyError)) throw error;
      this.#options.log.error(`the controller sent an invalid policy for port ${port}; the former one stays`, error);
    }
  }

  #failed(port: number, error: RpcError): "retry" | "stop" {
    const final = error.code === rpcStatus.invalidArgument || error.code === rpcStatus.failedPrecondition;
    const { log } = this.#options;
    if (final) log.error(`the controller refuses to tell the policy of port ${port}; the present one stays`, error);
    else log.debug(`policy of port ${port}: ${error.message}; the present one stays`);
    return final ? "stop" : "retry";
  }

  #sweep(): void {
    const limit = performance.now() - this.#options.idleMs;
    for (const [port, { watch, used, eager, followers }] of this.#ports) {
      if (eager || used > limit || followers.size > 0) continue;
      // What was learned is not thrown away while there is nobody to ask again.
      if (watch !== undefined && !watch.live) continue;
      watch?.stop();
      this.#ports.delete(port);
    }
  }
}
