/** One backend as a client's connection uses it: a balancer's endpoints, the only endpoint there is, or a refusal. */
import type { Unavailable } from "../balance/balancer.ts";
import { Refusal } from "../http/failure.ts";
import type { Choice } from "../http/service.ts";
import { ConnectError } from "../transport/stream.ts";
import { HttpEndpoint } from "./endpoint.ts";
import type { OutboundSide, SharedBalancers } from "./side.ts";
import type { Backend } from "./target.ts";

export class BackendUse {
  readonly #side: OutboundSide;
  readonly #backend: Backend;
  readonly #balancers: SharedBalancers | undefined;
  readonly #single: HttpEndpoint | undefined;
  readonly #refusal: Refusal | undefined;

  /** `leave` follows once. */
  constructor(side: OutboundSide, backend: Backend) {
    this.#side = side;
    this.#backend = backend;
    this.#balancers = backend.kind === "balancer" ? side.useBalancers(backend) : undefined;
    this.#single = backend.kind === "forward" ? new HttpEndpoint(side.options, backend.endpoint) : undefined;
    this.#refusal =
      backend.kind === "fail" ? new Refusal("injected", backend.message, { status: backend.status }) : undefined;
  }

  /** Where a request can go at once. */
  take(): Choice | undefined {
    if (this.#balancers !== undefined) return this.#balancers.http.pick()?.data;
    return this.#single ?? this.#refusal;
  }

  /** @param waitedMs by the request, before. @param problem why, for people */
  async wait(waitedMs: number, problem: string): Promise<Choice> {
    const balancer = this.#balancers?.http;
    if (balancer === undefined) return this.take() as Choice;
    const found = await balancer.acquire(waitedMs);
    return typeof found === "string" ? unavailable(found, problem) : found.data;
  }

  /** `failed` could not be reached. @param began monotonic time of the request's head */
  again(failed: HttpEndpoint, error: Error, began: number): Refusal | Promise<Choice> {
    const balancer = this.#balancers?.http;
    if (balancer === undefined) {
      const timedOut = error instanceof ConnectError && error.code === "ETIMEDOUT";
      return new Refusal(timedOut ? "connect-timeout" : "refused", error.message);
    }
    failed.failing = true;
    balancer.failed(failed.endpoint);
    return this.wait(performance.now() - began, error.message);
  }

  leave(): void {
    if (this.#backend.kind === "balancer") this.#side.leave(this.#backend);
    this.#single?.close();
  }
}

export function unavailable(why: Unavailable, problem: string): Refusal {
  return why === "failfast"
    ? new Refusal("failfast", `no endpoint could be reached in time: ${problem}`)
    : new Refusal("load-shed", `too many requests wait for an endpoint: ${problem}`);
}
