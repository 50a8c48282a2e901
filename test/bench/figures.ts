/** All that one run of the benchmark measured. */
import type { NewConnections, Startup, Turns, VariantMemory } from "./extras.ts";
import type { Row } from "./rows.ts";

/** What report.json holds. */
export interface Report {
  readonly rows: readonly Row[];
  readonly startup: readonly Startup[];
  readonly connections: readonly NewConnections[];
  readonly turns: Turns | null;
  readonly memory: readonly VariantMemory[];
  /** Packed. */
  readonly bundleBytes: number;
  readonly date: string;
  readonly command: string;
  /** That measuring took. */
  readonly seconds: number;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly hint: "h2" | "none";
}
