/** Observes one pod's proxy for as long as the tap lasts, a share of the rate at a time (reference 5.10, 8.5). */
import type { SecureContext } from "node:tls";
import { ChannelCredentials, type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import type { ObserveRequest, TapEvent as ProxyEvent } from "../../api/gen/io/linkerd/proxy/tap.ts";
import { TapClient } from "../../api/service-clients.ts";

export interface PodTapOptions {
  /** `ip:port` of the proxy's control port. */
  readonly address: string;
  /** Identity that the proxy must show. */
  readonly identity: string;
  /** This process' leaf. @throws Error where there is none */
  readonly context: () => SecureContext;
  readonly request: Pick<ObserveRequest, "match" | "extract">;
  /** Requests a second; asked before each window. */
  readonly rate: () => number;
  readonly onEvent: (event: ProxyEvent) => void;
  /** The proxy could not be tapped, and keeps being tried. Told once a series of failures. */
  readonly onTrouble: (reason: string) => void;
}

/** Streams that only wait for the ends of their last requests. */
const MAX_DRAINING = 4;
const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 10_000;
/** A pod that has just started refuses once or twice. */
const TROUBLE_AFTER = 3;

export class PodTap {
  readonly #options: PodTapOptions;
  readonly #calls = new Set<ClientReadableStream<ProxyEvent>>();
  #client: TapClient | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;

  constructor(options: PodTapOptions) {
    this.#options = options;
    this.#observe();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const call of this.#calls) call.cancel();
    this.#client?.close();
  }

  #observe(): void {
    if (this.#stopped) return;
    const { request, rate, onEvent } = this.#options;
    const perSecond = Math.max(rate(), Number.MIN_VALUE);
    const limit = Math.max(1, Math.round(perSecond));
    // With more pods than requests a second, each has its turn of one request now and then.
    const windowMs = Math.max(1_000, (limit / perSecond) * 1_000);
    const startedAt = performance.now();
    let call: ClientReadableStream<ProxyEvent>;
    try {
      this.#client ??= this.#connect();
      call = this.#client.observe({ ...request, limit });
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#calls.add(call);
    let begun = 0;
    /** Whether this stream is the one that begins requests; then it alone decides when the next one starts. */
    let current = true;
    const next = (): void => {
      if (!current) return;
      current = false;
      this.#schedule(windowMs - (performance.now() - startedAt));
    };
    call.on("data", (event: ProxyEvent) => {
      this.#failures = 0;
      if (event.event?.value.event?.$case === "requestInit" && ++begun >= limit) next();
      if (!this.#stopped) onEvent(event);
    });
    call.on("end", next);
    call.on("error", (error: ServiceError) => {
      this.#calls.delete(call);
      if (this.#stopped || !current) return;
      current = false;
      this.#failed(error.code === status.UNAUTHENTICATED ? `it refuses: ${error.details}` : error.message);
    });
    call.on("close", () => this.#calls.delete(call));
    this.#limitDraining();
  }

  #connect(): TapClient {
    const { address, identity, context } = this.#options;
    return new TapClient(address, ChannelCredentials.createFromSecureContext(context()), {
      "grpc.ssl_target_name_override": identity,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_channelz": 0,
      // Each pod has its own connection: sharing subchannels would keep them when a tap ends.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#stopped) this.#timer = setTimeout(() => this.#observe(), Math.max(0, delayMs));
  }

  #failed(reason: string): void {
    if (this.#stopped) return;
    // The next try connects anew, with the leaf that is in force then.
    this.#client?.close();
    this.#client = undefined;
    this.#failures++;
    if (this.#failures === TROUBLE_AFTER) this.#options.onTrouble(reason);
    this.#schedule(Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS) * (0.5 + Math.random() / 2));
  }

  #limitDraining(): void {
    for (const call of this.#calls) {
      if (this.#calls.size <= MAX_DRAINING) return;
      this.#calls.delete(call);
      call.cancel();
    }
  }
}
