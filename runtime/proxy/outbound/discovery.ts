/**
 * {@link OutboundTargets} over OutboundPolicies.Watch, Destination.Get and, for destinations that the policy only forwards to,
 * Destination.GetProfile. What is known stays while the controller is away.
 */
import { type AddressTest, compileNetworks, formatAddress } from "../policy/networks.ts";
import { DestinationSource } from "./discovery-source.ts";
import { DiscoveredTarget, type DiscoveryOptions, type TargetContext } from "./discovery-target.ts";
import type { OutboundTarget, OutboundTargets } from "./target.ts";

/** How long a connection waits for the controller where CONTROL_STREAM_INITIAL_TIMEOUT does not say. */
const ANSWER_WITHIN_MS = 3_000;
/** How long what was known of an unused target serves where the controller is found silent: a lost one is noticed sooner. */
const REMEMBER_MS = 60_000;
const MOST_REMEMBERED = 256;
/** Longer than the pauses between tries. */
const STALE_MS = 10_000;

interface SharedSource {
  readonly source: DestinationSource;
  users: number;
}

export class Discovery implements OutboundTargets {
  readonly #options: DiscoveryOptions;
  readonly #targets = new Map<string, DiscoveredTarget>();
  readonly #remembered = new Map<string, { readonly target: OutboundTarget; readonly timer: NodeJS.Timeout }>();
  readonly #sources = new Map<string, SharedSource>();
  readonly #inProfileNetworks: AddressTest;
  readonly #context: TargetContext;
  /** Since when, and when last, the controller could not be reached. Old news is none: there may be nobody who tries. */
  #unreachable: { readonly since: number; readonly last: number } | undefined;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    this.#inProfileNetworks = compileNetworks(options.destination.profileNetworks);
    const answerWithinMs = options.streams.initialMs ?? ANSWER_WITHIN_MS;
    this.#context = {
      ...options,
      answerWithinMs,
      hasProfile: (ip) => this.#inProfileNetworks(ip),
      isAway: () => this.#isAway(answerWithinMs),
      heard: (answered) => {
        const now = performance.now();
        this.#unreachable = answered ? undefined : { since: this.#unreachable?.since ?? now, last: now };
      },
      acquireSource: (path) => this.#acquireSource(path),
      releaseSource: (source) => this.#releaseSource(source),
    };
  }

  acquire(ip: string, port: number): OutboundTarget | Promise<OutboundTarget> {
    const key = formatAddress(ip, port);
    let target = this.#targets.get(key);
    if (target === undefined) {
      target = new DiscoveredTarget(ip, port, this.#context, this.#recall(key), (known) => {
        this.#targets.delete(key);
        if (known !== undefined) this.#remember(key, known);
      });
      this.#targets.set(key, target);
    }
    return target.acquire();
  }

  release(ip: string, port: number): void {
    this.#targets.get(formatAddress(ip, port))?.release();
  }

  close(): void {
    for (const target of this.#targets.values()) target.stop();
    this.#targets.clear();
    for (const { timer } of this.#remembered.values()) clearTimeout(timer);
    this.#remembered.clear();
  }

  #remember(key: string, target: OutboundTarget): void {
    if (this.#remembered.size >= MOST_REMEMBERED) return;
    const timer = setTimeout(() => this.#remembered.delete(key), REMEMBER_MS);
    timer.unref();
    this.#remembered.set(key, { target, timer });
  }

  #recall(key: string): OutboundTarget | undefined {
    const remembered = this.#remembered.get(key);
    clearTimeout(remembered?.timer);
    this.#remembered.delete(key);
    return remembered?.target;
  }

  #isAway(answerWithinMs: number): boolean {
    const now = performance.now();
    if (this.#unreachable !== undefined && now - this.#unreachable.last > STALE_MS) this.#unreachable = undefined;
    return this.#unreachable !== undefined && now - this.#unreachable.since > answerWithinMs;
  }

  /** Targets of several addresses may lead to one authority: they share its endpoints. */
  #acquireSource(path: string): DestinationSource {
    const shared = this.#sources.get(path);
    if (shared !== undefined) {
      shared.users++;
      return shared.source;
    }
    const { destinationClient, destination, streams, log } = this.#options;
    const source = new DestinationSource(path, {
      client: destinationClient,
      context: destination.context,
      limits: streams,
      log,
    });
    this.#sources.set(path, { source, users: 1 });
    return source;
  }

  #releaseSource({ path }: DestinationSource): void {
    const shared = this.#sources.get(path);
    if (shared === undefined || --shared.users > 0) return;
    this.#sources.delete(path);
    shared.source.stop();
  }
}
