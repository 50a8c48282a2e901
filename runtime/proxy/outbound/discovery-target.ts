/** One original destination: its policy, the endpoints or the profile that the policy leads to, and who uses it. */

import { isIP } from "node:net";
import { type DestinationProfile, DestinationService } from "../../api/gen/io/linkerd/proxy/destination.ts";
import { OutboundPoliciesService, OutboundPolicy } from "../../api/gen/io/linkerd/proxy/outbound.ts";
import type { ProxyConfig } from "../config/config.ts";
import { type ControlClient, type RpcError, rpcStatus } from "../control/client.ts";
import { Watch, type Watching } from "../control/watch.ts";
import type { Logger } from "../log.ts";
import type { Labels, ProxyMetrics } from "../metrics/series.ts";
import { formatAddress, ipToWire } from "../policy/networks.ts";
import { bareEndpoint } from "./discovery-endpoint.ts";
import { mapTables, type PlannedBackend, parentLabels, planFromPolicy, type TargetPlan } from "./discovery-policy.ts";
import { decidesBesidePolicy, planFromProfile, planWithProfile, refineByProfile } from "./discovery-profile.ts";
import type { DestinationSource } from "./discovery-source.ts";
import type { Backend, OutboundTarget } from "./target.ts";

export interface DiscoveryOptions {
  readonly policyClient: ControlClient;
  readonly destinationClient: ControlClient;
  readonly policy: Pick<ProxyConfig["policy"], "workload">;
  readonly destination: Pick<ProxyConfig["destination"], "context" | "profileNetworks">;
  readonly streams: ProxyConfig["streams"];
  readonly outbound: Pick<ProxyConfig["outbound"], "discoveryIdleMs" | "detectTimeoutMs">;
  readonly log: Logger;
  /** Where routes tell of their requests; absent: nowhere. */
  readonly metrics?: ProxyMetrics;
}

export interface TargetContext extends DiscoveryOptions {
  /** How long a connection waits for the controller, milliseconds. */
  readonly answerWithinMs: number;
  readonly hasProfile: (ip: string) => boolean;
  /** Whether the controller has been silent for longer than that: then nobody waits. */
  readonly isAway: () => boolean;
  /** Notes that the controller answered, or could not be reached. */
  readonly heard: (answered: boolean) => void;
  readonly acquireSource: (path: string) => DestinationSource;
  readonly releaseSource: (source: DestinationSource) => void;
}

const NOT_FOUND = 404;
/** Whoever knows something already need not wait long for something better. */
const WAIT_WITH_MEMORY_MS = 500;
/** A policy that leads to a Service waits so long for the profile that would take precedence. */
const WAIT_FOR_PROFILE_MS = 250;

export class DiscoveredTarget {
  /** An address, or the name of a Service. */
  readonly #host: string;
  readonly #port: number;
  readonly #named: boolean;
  readonly #context: TargetContext;
  /** What was known of it before it was last dropped: better than nothing where the controller does not answer. */
  readonly #remembered: OutboundTarget | undefined;
  readonly #dropped: (known: OutboundTarget | undefined) => void;
  readonly #policyWatch: Watching;
  #profileWatch: Watching | undefined;
  /** undefined: not told yet. null: there is no policy for this destination. */
  #policyPlan: TargetPlan | null | undefined;
  /** undefined: not told yet. null: there is none. */
  #profile: DestinationProfile | null | undefined;
  #profileDeadline: NodeJS.Timeout | undefined;
  #profileIsLate = false;
  /** As told last. */
  #policyBytes: Uint8Array | undefined;
  /** What `#plan` made, and of what. */
  #planned: { policy: TargetPlan; profile: DestinationProfile; plan: TargetPlan } | undefined;
  readonly #sources = new Map<string, { readonly source: DestinationSource; readonly unsubscribe: () => void }>();
  /** What `#target` was made of. */
  #settledFrom: { readonly plan: TargetPlan; readonly unknown: boolean } | undefined;
  #target: OutboundTarget | undefined;
  #waiters: ((target: OutboundTarget) => void)[] = [];
  #deadline: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  #users = 0;

  /**
   * @param host an address, or a name
   * @param dropped called when it is no longer used, with what was known of it
   */
  constructor(
    host: string,
    port: number,
    context: TargetContext,
    remembered: OutboundTarget | undefined,
    dropped: (known: OutboundTarget | undefined) => void,
  ) {
    this.#host = host;
    this.#named = isIP(host) === 0;
    this.#port = port;
    this.#context = context;
    this.#remembered = remembered;
    this.#dropped = dropped;
    if (context.isAway()) this.#target = this.#fallback();
    else this.#deadline = setTimeout(() => this.#giveUpWaiting(), this.#waitMs());
    this.#policyWatch = new Watch({
      client: context.policyClient,
      method: OutboundPoliciesService.watch,
      request: {
        sourceWorkload: context.policy.workload,
        target: this.#named
          ? { $case: "authority", value: this.#name() }
          : { $case: "addr", value: { ip: ipToWire(host), port } },
      },
      limits: context.streams,
      onMessage: (policy: OutboundPolicy) => {
        context.heard(true);
        const bytes = OutboundPolicy.encode(policy).finish();
        // Every new stream begins with all of it.
        const same = this.#policyBytes !== undefined && Buffer.compare(this.#policyBytes, bytes) === 0;
        this.#policyBytes = bytes;
        if (!same || this.#policyPlan === null) this.#policyPlan = planFromPolicy(policy, context.metrics);
        this.#update();
      },
      onError: (error) => this.#policyFailed(error),
    });
  }

  acquire(): OutboundTarget | Promise<OutboundTarget> {
    this.#users++;
    clearTimeout(this.#idle);
    return this.#target ?? new Promise((resolve) => this.#waiters.push(resolve));
  }

  release(): void {
    this.#users--;
    if (this.#users === 0) this.#dropLater();
  }

  stop(): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#idle);
    this.#policyWatch.stop();
    this.#profileWatch?.stop();
    clearTimeout(this.#profileDeadline);
    this.#useSources(new Set());
    if (this.#waiters.length > 0) this.#settle(this.#target ?? this.#fallback());
  }

  #dropLater(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#users > 0) return;
      if (this.#worthKeeping()) {
        this.#dropLater();
        return;
      }
      const known = this.#isKnown() ? this.#target : undefined;
      this.stop();
      this.#dropped(known);
    }, this.#context.outbound.discoveryIdleMs);
    this.#idle.unref();
  }

  /** What was learned is not thrown away while there is nobody to ask again. */
  #worthKeeping(): boolean {
    return (
      this.#isKnown() && !(this.#policyWatch.live && [...this.#sources.values()].every(({ source }) => source.live))
    );
  }

  #isKnown(): boolean {
    if (this.#policyPlan === undefined) return this.#remembered !== undefined && this.#target === this.#remembered;
    return this.#policyPlan !== null;
  }

  #policyFailed(error: RpcError): "retry" | "stop" {
    const { code, message } = error;
    const { log, heard } = this.#context;
    if (code === rpcStatus.unavailable || code === rpcStatus.deadlineExceeded) {
      // Silence about one target says nothing about the others.
      if (code === rpcStatus.unavailable) heard(false);
      log.debug(`policy of ${this.#name()}: ${message}; what is known stays`);
      return "retry";
    }
    if (code === rpcStatus.notFound || code === rpcStatus.unimplemented) {
      heard(true);
      this.#policyPlan = null;
      this.#policyBytes = undefined;
      this.#update();
      return "stop";
    }
    if (code === rpcStatus.invalidArgument || code === rpcStatus.failedPrecondition) {
      heard(true);
      log.warn(`the controller refuses to tell about ${this.#name()}; going to the address itself`, error);
      this.#settle(this.#forward());
      return "stop";
    }
    log.warn(`policy of ${this.#name()}`, error);
    return "retry";
  }

  /** Makes the target anew from all that is known; waits where something is still to be told. */
  #update(): void {
    const plan = this.#plan();
    if (plan === undefined) return;
    this.#useSources(pathsOf(plan));
    for (const { source } of this.#sources.values()) if (source.state === "pending") return;
    this.#settleBy(plan);
  }

  #settleBy(plan: TargetPlan): void {
    const { protocol, detectTimeoutMs, labels, backend, tcp } = plan;
    const path = backend.kind === "balancer" ? backend.path : undefined;
    // An authority that is none (any more), where it is all there is.
    const unknown =
      this.#sources.size === 1 && path !== undefined && this.#sources.get(path)?.source.state === "unknown";
    if (this.#settledFrom?.plan === plan && this.#settledFrom.unknown === unknown && this.#target !== undefined) return;
    const made = new Map<PlannedBackend, Backend>();
    const real = (planned: PlannedBackend): Backend => {
      const known = made.get(planned) ?? this.#realize(planned, unknown, labels);
      made.set(planned, known);
      return known;
    };
    this.#settle({
      protocol,
      detectTimeoutMs,
      labels,
      backend: real(backend),
      ...mapTables(plan, real),
      ...(tcp === undefined ? {} : { tcp: tcp.map(real) }),
    });
    this.#settledFrom = { plan, unknown };
  }

  #realize(planned: PlannedBackend, unknown: boolean, parent: Labels): Backend {
    if (planned.kind !== "balancer") return planned;
    const source = this.#sources.get(planned.path)?.source;
    if (unknown || source === undefined) return this.#itself();
    const { parameters, labels } = planned;
    return { kind: "balancer", source, parameters, labels: [...parent, ...labels] };
  }

  /** undefined: something is still to be told. */
  #plan(): TargetPlan | undefined {
    const plan = this.#policyPlan;
    if (plan === undefined) return undefined;
    if (!this.#named && !this.#context.hasProfile(this.#host)) return plan ?? this.#forwardPlan();
    this.#watchProfile();
    if (plan !== null && plan.backend.kind !== "forward") return this.#planByProfile(plan);
    if (this.#profile === undefined) return undefined;
    if (this.#profile === null) return plan ?? this.#forwardPlan();
    if (plan !== null) return refineByProfile(plan, this.#profile);
    const own = planFromProfile(this.#profile, this.#port);
    if (own === undefined) return this.#forwardPlan();
    return planWithProfile(own, this.#profile, this.#port, this.#context.metrics);
  }

  #planByProfile(policy: TargetPlan): TargetPlan | undefined {
    const profile = this.#profile;
    if (profile === undefined && !this.#profileIsLate) {
      this.#profileDeadline ??= setTimeout(
        () => {
          this.#profileIsLate = true;
          this.#update();
        },
        Math.min(WAIT_FOR_PROFILE_MS, this.#waitMs() / 3),
      );
      return undefined;
    }
    if (profile === undefined || profile === null || !decidesBesidePolicy(profile)) return policy;
    if (this.#planned?.policy !== policy || this.#planned.profile !== profile) {
      this.#planned = { policy, profile, plan: planWithProfile(policy, profile, this.#port, this.#context.metrics) };
    }
    return this.#planned.plan;
  }

  #watchProfile(): void {
    const { destinationClient, destination, streams, log } = this.#context;
    this.#profileWatch ??= new Watch({
      client: destinationClient,
      method: DestinationService.getProfile,
      request: { scheme: "k8s", path: this.#name(), contextToken: destination.context },
      limits: streams,
      onMessage: (profile: DestinationProfile) => {
        this.#profile = profile;
        this.#update();
      },
      onError: ({ code, message }) => {
        log.debug(`profile of ${this.#name()}: ${message}`);
        if (code === rpcStatus.unavailable || code === rpcStatus.deadlineExceeded) return "retry";
        this.#profile ??= null;
        this.#update();
        return code === rpcStatus.invalidArgument || code === rpcStatus.failedPrecondition ? "stop" : "retry";
      },
    });
  }

  /** Follows the endpoints of `paths` from now on, and no others. */
  #useSources(paths: ReadonlySet<string>): void {
    for (const path of paths) {
      if (this.#sources.has(path)) continue;
      const source = this.#context.acquireSource(path);
      this.#sources.set(path, { source, unsubscribe: source.subscribe(() => this.#update()) });
    }
    for (const [path, { source, unsubscribe }] of this.#sources) {
      if (paths.has(path)) continue;
      this.#sources.delete(path);
      unsubscribe();
      this.#context.releaseSource(source);
    }
  }

  #waitMs(): number {
    const { answerWithinMs } = this.#context;
    return this.#remembered === undefined ? answerWithinMs : Math.min(answerWithinMs, WAIT_WITH_MEMORY_MS);
  }

  #giveUpWaiting(): void {
    if (this.#target !== undefined) return;
    const { log } = this.#context;
    const plan = this.#sources.size > 1 ? this.#plan() : undefined;
    if (plan !== undefined) {
      log.warn(`not all backends of ${this.#name()} are known within ${this.#waitMs()} ms; going on with the others`);
      this.#settleBy(plan);
      return;
    }
    const instead = this.#remembered === undefined ? "going to the address itself" : "going by what was known before";
    log.warn(`the controller did not tell about ${this.#name()} within ${this.#waitMs()} ms; ${instead}`);
    this.#settle(this.#fallback());
  }

  #settle(target: OutboundTarget): void {
    clearTimeout(this.#deadline);
    this.#target = target;
    this.#settledFrom = undefined;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve(this.#target);
  }

  #fallback(): OutboundTarget {
    return this.#remembered ?? this.#forward();
  }

  #forward(): OutboundTarget {
    const { protocol, detectTimeoutMs, labels } = this.#forwardPlan();
    return {
      protocol,
      detectTimeoutMs,
      labels,
      backend: this.#itself(),
    };
  }

  #forwardPlan(): TargetPlan {
    return {
      protocol: "detect",
      detectTimeoutMs: this.#context.outbound.detectTimeoutMs,
      labels: parentLabels({ kind: { $case: "default", value: "unknown" } }),
      backend: this.#itself(),
    };
  }

  /** The address itself. A name that nobody knows is none. */
  #itself(): Extract<Backend, { kind: "forward" | "fail" }> {
    return this.#named
      ? { kind: "fail", status: NOT_FOUND, message: `nothing is known of ${this.#name()}` }
      : { kind: "forward", endpoint: bareEndpoint(this.#host, this.#port) };
  }

  #name(): string {
    return formatAddress(this.#host, this.#port);
  }
}

function pathsOf({ backend, http1, http2, tcp }: TargetPlan): Set<string> {
  const all = [backend, ...[http1, http2, tcp].flatMap((routes) => [...(routes?.backends() ?? [])])];
  return new Set(all.flatMap((planned) => (planned.kind === "balancer" ? [planned.path] : [])));
}
