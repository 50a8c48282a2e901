/** `control_dns_resolutions_total` (reference 7.4): look-ups of the names of the control plane, by who asked. */
import type { Reading } from "../metrics/registry.ts";
import { Resolver, type ResolverOptions } from "./resolver.ts";

type Outcome = `${"SRV" | "A/AAAA"} ${"ok" | "not_found"}`;
const OUTCOMES: readonly Outcome[] = ["A/AAAA ok", "A/AAAA not_found", "SRV ok", "SRV not_found"];

export class Resolvers {
  readonly #options: Pick<ResolverOptions, "minTtlMs" | "maxTtlMs">;
  readonly #counts = new Map<string, Map<Outcome, number>>();

  constructor(options: Pick<ResolverOptions, "minTtlMs" | "maxTtlMs">) {
    this.#options = options;
  }

  /** @param client as the label has it: `identity`, `destination`, `policy`, `trace_collector` */
  of(client: string): Resolver {
    const counts = new Map<Outcome, number>(OUTCOMES.map((outcome) => [outcome, 0]));
    this.#counts.set(client, counts);
    return new Resolver({
      ...this.#options,
      onResolved: (type, result) => {
        const outcome: Outcome = `${type} ${result}`;
        counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      },
    });
  }

  readings(): Reading[] {
    return [...this.#counts].flatMap(([client, counts]) =>
      OUTCOMES.map((outcome) => {
        const [type, result] = outcome.split(" ");
        return {
          name: "control_dns_resolutions_total",
          type: "counter" as const,
          help: "Counts the number of DNS records that have been resolved",
          labels: `client="${client}",record_type="${type}",result="${result}"`,
          value: counts.get(outcome) ?? 0,
        };
      }),
    );
  }
}
