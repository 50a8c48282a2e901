/**
 * A port's own limits (HTTPLocalRateLimitPolicy; reference 9.10) by the generic cell rate algorithm: one number a bucket, and no timer.
 * Limits are of this proxy alone; a bucket holds what may come at once: one second's requests.
 */
import type { HttpLocalRateLimit } from "../../api/gen/io/linkerd/proxy/inbound.ts";
import type { Metadata } from "../../api/gen/io/linkerd/proxy/meta.ts";
import type { Labels } from "../metrics/series.ts";

/** Which of a policy's limits stopped a request. */
export interface RateExcess {
  readonly requestsPerSecond: number;
  /** `ratelimit_group`, `ratelimit_kind`, `ratelimit_name`, `ratelimit_scope`: `total` or `identity`. */
  readonly labels: Labels;
}

export interface RateLimit {
  /**
   * Takes one request of `identity`; clients without one are one client.
   * @param now monotonic milliseconds
   * @returns undefined: it may pass
   */
  take(identity: string | undefined, now: number): RateExcess | undefined;
}

/** undefined: nothing is limited. */
export function compileRateLimit(limit: HttpLocalRateLimit | undefined): RateLimit | undefined {
  if (limit === undefined) return undefined;
  const { total, identity, overrides, metadata } = limit;
  const labels = labelsOf(metadata);
  const overall = rateOf(total?.requestsPerSecond);
  const each = rateOf(identity?.requestsPerSecond);
  const own = new Map<string, Scope>();
  for (const { limit: override, clients } of overrides) {
    const rate = rateOf(override?.requestsPerSecond);
    if (rate === undefined) continue;
    // Those whom one override names share what it grants.
    const scope = new SharedScope(rate, labels);
    for (const { name } of clients?.identities ?? []) own.set(name, scope);
  }
  if (overall === undefined && each === undefined && own.size === 0) return undefined;
  return new CompiledRateLimit(
    overall === undefined ? undefined : new SharedScope(overall, labels, "total"),
    each === undefined ? undefined : new ScopePerClient(each, labels),
    own,
  );
}

function rateOf(requestsPerSecond: number | undefined): number | undefined {
  return requestsPerSecond === undefined || requestsPerSecond === 0 ? undefined : requestsPerSecond;
}

function labelsOf(metadata: Metadata | undefined): Labels {
  const kind = metadata?.kind;
  const resource = kind?.$case === "resource" ? kind.value : undefined;
  return [
    ["ratelimit_group", resource?.group ?? ""],
    ["ratelimit_kind", resource?.kind ?? "default"],
    ["ratelimit_name", resource?.name ?? (kind?.$case === "default" ? kind.value : "")],
  ];
}

class CompiledRateLimit implements RateLimit {
  readonly #total: Scope | undefined;
  readonly #each: Scope | undefined;
  readonly #own: ReadonlyMap<string, Scope>;

  constructor(total: Scope | undefined, each: Scope | undefined, own: ReadonlyMap<string, Scope>) {
    this.#total = total;
    this.#each = each;
    this.#own = own;
  }

  take(identity: string | undefined, now: number): RateExcess | undefined {
    const client = identity ?? NOBODY;
    return this.#total?.take(client, now) ?? (this.#own.get(client) ?? this.#each)?.take(client, now);
  }
}

/** No identity has this name. */
const NOBODY = "";

/** Some requests' common limit. */
interface Scope {
  take(client: string, now: number): RateExcess | undefined;
}

/** How long an empty bucket takes to be full, milliseconds; and what sums of fractions may lose. */
const FILLS_IN_MS = 1_000 + 1e-6;

/** When the bucket will be full again, after one more request; undefined: it has no room for one now. */
function advance(fullAt: number, now: number, rate: number): number | undefined {
  const next = Math.max(fullAt, now) + 1_000 / rate;
  return next - now > FILLS_IN_MS ? undefined : next;
}

class SharedScope implements Scope {
  readonly #excess: RateExcess;
  #fullAt = 0;

  constructor(rate: number, labels: Labels, scope: "total" | "identity" = "identity") {
    this.#excess = { requestsPerSecond: rate, labels: [...labels, ["ratelimit_scope", scope]] };
  }

  take(_client: string, now: number): RateExcess | undefined {
    const next = advance(this.#fullAt, now, this.#excess.requestsPerSecond);
    if (next === undefined) return this.#excess;
    this.#fullAt = next;
    return undefined;
  }
}

/** Buckets beyond it are looked through for full ones, which say nothing. */
const MANY_BUCKETS = 1_024;

class ScopePerClient implements Scope {
  readonly #excess: RateExcess;
  readonly #fullAt = new Map<string, number>();
  #lookAt = MANY_BUCKETS;

  constructor(rate: number, labels: Labels) {
    this.#excess = { requestsPerSecond: rate, labels: [...labels, ["ratelimit_scope", "identity"]] };
  }

  take(client: string, now: number): RateExcess | undefined {
    const next = advance(this.#fullAt.get(client) ?? 0, now, this.#excess.requestsPerSecond);
    if (next === undefined) return this.#excess;
    this.#fullAt.set(client, next);
    if (this.#fullAt.size > this.#lookAt) this.#forget(now);
    return undefined;
  }

  #forget(now: number): void {
    for (const [client, fullAt] of this.#fullAt) if (fullAt <= now) this.#fullAt.delete(client);
    this.#lookAt = Math.max(MANY_BUCKETS, 2 * this.#fullAt.size);
  }
}
