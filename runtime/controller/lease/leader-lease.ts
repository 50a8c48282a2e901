/** Who among the replicas may write: a Lease of coordination.k8s.io, by the rules of client-go's leader election. */
import { setTimeout as sleep } from "node:timers/promises";
import { hasStatus } from "../../kube/errors.ts";
import { resource } from "../../kube/resources.ts";
import type { KubeClient, KubeObject } from "../../kube/types.ts";
import { type Log, messageOf } from "../config/log.ts";

interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  /** MicroTime: RFC 3339 with six digits after the point. */
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}

export interface Lease extends KubeObject {
  spec?: LeaseSpec;
}

export interface LeaderLeaseOptions {
  readonly namespace: string;
  readonly name: string;
  /** Written as holderIdentity: the pod's name. */
  readonly identity: string;
  readonly log: Log;
  /** How long others wait after the last renewal they saw; client-go's default. */
  readonly durationMs?: number;
  /** A holder that could not renew for this long stops being one. */
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
}

/**
 * Tries to hold the Lease until stopped. Clocks are never compared: a foreign holder is alive as long as its record
 * changes within its duration on this replica's own monotonic clock.
 */
export class LeaderLease {
  readonly #client: KubeClient;
  readonly #options: Required<LeaderLeaseOptions>;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(holding: boolean) => void>();
  #running: Promise<void> | undefined;
  #holding = false;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #observed: { readonly resourceVersion: string; readonly at: number } | undefined;

  constructor(client: KubeClient, options: LeaderLeaseOptions) {
    this.#client = client;
    this.#options = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000, ...options };
  }

  /** False as well once the renew deadline has passed without a renewal, whatever the loop is doing. */
  get holding(): boolean {
    return this.#holding && performance.now() - this.#renewedAt < this.#options.renewDeadlineMs;
  }

  /** Called with true when this replica becomes the holder and with false when it no longer is. */
  onChange(listener: (holding: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the attempts and, where this replica holds the Lease, frees it for the next one at once. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    if (!this.#holding) return;
    this.#set(false);
    try {
      await this.#release();
    } catch (error) {
      this.#options.log.warn("the Lease was not released; it runs out by itself", { reason: messageOf(error) });
    }
  }

  async #run(): Promise<void> {
    const { retryMs, renewDeadlineMs, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      let held = false;
      try {
        held = await this.#acquireOrRenew();
      } catch (error) {
        // 409: another replica was faster; the next round reads its record.
        if (!hasStatus(error, 409)) log.warn("the Lease cannot be renewed", { reason: messageOf(error) });
        held = this.#holding && performance.now() - this.#renewedAt < renewDeadlineMs;
      }
      if (!signal.aborted) this.#set(held);
      await sleep(retryMs * (0.8 + Math.random() * 0.4), undefined, { signal }).catch(() => {});
    }
  }

  async #acquireOrRenew(): Promise<boolean> {
    const { namespace, name, identity, durationMs } = this.#options;
    const startedAt = performance.now();
    const now = microTime(new Date());
    const spec: LeaseSpec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    };
    const lease = await this.#client.find<Lease>(resource.leases, name, namespace);
    if (lease === undefined) {
      await this.#client.create<Lease>(resource.leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace },
        spec,
      });
      this.#renewedAt = startedAt;
      return true;
    }
    const held = lease.spec ?? {};
    const mine = held.holderIdentity === identity;
    if (!mine && (held.holderIdentity ?? "") !== "" && this.#alive(lease)) return false;
    await this.#client.replace<Lease>(resource.leases, {
      ...lease,
      spec: {
        ...spec,
        acquireTime: mine ? (held.acquireTime ?? now) : now,
        leaseTransitions: (held.leaseTransitions ?? 0) + (mine ? 0 : 1),
      },
    });
    this.#renewedAt = startedAt;
    return true;
  }

  #alive(lease: Lease): boolean {
    const resourceVersion = lease.metadata.resourceVersion ?? "";
    const now = performance.now();
    if (this.#observed?.resourceVersion !== resourceVersion) this.#observed = { resourceVersion, at: now };
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
    return now - this.#observed.at < durationMs;
  }

  async #release(): Promise<void> {
    const { namespace, name, identity } = this.#options;
    const lease = await this.#client.find<Lease>(resource.leases, name, namespace);
    if (lease?.spec?.holderIdentity !== identity) return;
    const now = microTime(new Date());
    await this.#client.replace<Lease>(resource.leases, {
      ...lease,
      spec: { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: now, acquireTime: now },
    });
  }

  #set(holding: boolean): void {
    if (this.#holding === holding) return;
    this.#holding = holding;
    this.#options.log.info(holding ? "this replica holds the Lease" : "this replica no longer holds the Lease");
    for (const listener of this.#listeners) listener(holding);
  }
}

function microTime(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}
