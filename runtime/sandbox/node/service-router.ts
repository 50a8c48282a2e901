/** Keeps the rules of Services as the API's Services and EndpointSlices are. */
import { resource } from "../../kube/resources.ts";
import type { SandboxApi } from "../seam.ts";
import type { Network } from "./network.ts";
import type { EndpointSlice, Service } from "./pod-types.ts";
import { type FixedService, serviceRules } from "./service-rules.ts";

/** Changes that come together are written together. */
const GATHER_MS = 20;
const RETRY_MS = 1_000;

export class ServiceRouter {
  readonly #api: SandboxApi;
  readonly #network: Network;
  readonly #fixed: readonly FixedService[];
  readonly #log: (line: string) => void;
  readonly #endings: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #written = "";
  #stopped = false;

  constructor(api: SandboxApi, network: Network, fixed: readonly FixedService[], log: (line: string) => void) {
    this.#api = api;
    this.#network = network;
    this.#fixed = fixed;
    this.#log = log;
  }

  /** Resolves when the first rules are in force. */
  async start(): Promise<void> {
    await this.#write();
    const changed = (): void => this.#schedule(GATHER_MS);
    this.#endings.push(
      this.#api.watch<Service>(resource.services, changed),
      this.#api.watch<EndpointSlice>(resource.endpointSlices, changed),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const end of this.#endings) end();
    clearTimeout(this.#timer);
    await this.#writing;
  }

  /** The first of several changes sets the time. */
  #schedule(afterMs: number): void {
    if (this.#stopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#writing.then(() => this.#writeOrRetry());
    }, afterMs);
  }

  async #writeOrRetry(): Promise<void> {
    try {
      await this.#write();
    } catch (error) {
      if (this.#stopped) return;
      this.#log(`rules of Services: ${error instanceof Error ? error.message : String(error)}`);
      this.#schedule(RETRY_MS);
    }
  }

  async #write(): Promise<void> {
    const rules = serviceRules(
      this.#api.list<Service>(resource.services),
      this.#api.list<EndpointSlice>(resource.endpointSlices),
      this.#fixed,
      this.#network.plan.serviceCidr,
    );
    if (rules === this.#written) return;
    await this.#network.restoreRules(rules);
    this.#written = rules;
  }
}
