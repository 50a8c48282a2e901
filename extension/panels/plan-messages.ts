/** What the plan's panel and its host say to each other. Types only: both sides import it. */
import type { PlannedObject, ProgressEvent } from "../../runtime/mesh/types.ts";

/** An object of a plan as a row; `text` is what will be applied, as YAML. */
export interface PlanRow extends Pick<PlannedObject, "kind" | "namespace" | "name" | "action" | "detail"> {
  /** As progress events name it. */
  readonly subject: string;
  readonly text?: string;
}

/** A step of the walk that is no object of the plan, such as waiting for a rollout. */
export type PlanStep = Pick<ProgressEvent, "subject" | "state" | "detail">;

export type PlanOutcome =
  | { readonly kind: "asking" }
  | { readonly kind: "applying" }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string; readonly hint?: string };

export interface PlanState {
  readonly title: string;
  readonly context: string;
  readonly rows: readonly PlanRow[];
  readonly notes: readonly string[];
  readonly steps: readonly PlanStep[];
  readonly outcome: PlanOutcome;
}

export type ToPlanView =
  | { readonly type: "init"; readonly state: PlanState }
  | { readonly type: "progress"; readonly steps: readonly PlanStep[]; readonly outcome: PlanOutcome };

export interface ToPlanHost {
  readonly type: "ready";
}
