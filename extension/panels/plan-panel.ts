/** A plan in a readable form, before anybody agrees to it; afterwards how far it has come. */
import type { Uri } from "vscode";
import { stringify } from "yaml";
import { subjectOf } from "../../runtime/mesh/progress.ts";
import type { Plan, PlannedObject, ProgressEvent } from "../../runtime/mesh/types.ts";
import { webviewType } from "../contributions.ts";
import { explain } from "../errors/explain.ts";
import { MessagePanel } from "./message-panel.ts";
import type { PlanOutcome, PlanRow, PlanStep, ToPlanHost, ToPlanView } from "./plan-messages.ts";

const BATCH_MS = 100;
/** ConfigMaps carry programs: nobody reads those. */
const MAX_TEXT = 6_000;

export interface PlanPanelOptions {
  /** `Install Mesh` */
  readonly title: string;
  readonly context: string;
  readonly plan: Plan;
  readonly extensionUri: Uri;
}

export class PlanPanel {
  readonly #options: PlanPanelOptions;
  readonly #rows: readonly PlanRow[];
  readonly #steps = new Map<string, PlanStep>();
  readonly #page: MessagePanel<ToPlanView, ToPlanHost>;
  #outcome: PlanOutcome = { kind: "asking" };
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PlanPanelOptions) {
    this.#options = options;
    this.#rows = options.plan.objects.map(rowOf);
    this.#page = new MessagePanel({
      viewType: webviewType.plan,
      bundle: "plan",
      title: options.title,
      extensionUri: options.extensionUri,
      icon: "weft-tab.svg",
      onReady: () => this.#greet(),
      onMessage: () => undefined,
      onClosed: () => clearTimeout(this.#timer),
    });
  }

  progress({ subject, state, detail }: ProgressEvent): void {
    this.#outcome = { kind: "applying" };
    this.#steps.set(subject, { subject, state, ...(detail === undefined ? {} : { detail }) });
    this.#timer ??= setTimeout(() => this.#send(), BATCH_MS);
  }

  done(): void {
    this.#outcome = { kind: "done" };
    this.#send();
  }

  failed(error: unknown): void {
    const { message, hint } = explain(error);
    this.#outcome = { kind: "failed", message, ...(hint === undefined ? {} : { hint }) };
    this.#send();
  }

  close(): void {
    this.#page.dispose();
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    void this.#page.post({ type: "progress", steps: [...this.#steps.values()], outcome: this.#outcome });
  }

  #greet(): void {
    const { title, context, plan } = this.#options;
    const state = {
      title,
      context,
      rows: this.#rows,
      notes: plan.notes,
      steps: [...this.#steps.values()],
      outcome: this.#outcome,
    };
    void this.#page.post({ type: "init", state });
  }
}

export function showPlan(options: PlanPanelOptions): PlanPanel {
  return new PlanPanel(options);
}

function rowOf(planned: PlannedObject): PlanRow {
  const { kind, namespace, name, action, detail, object } = planned;
  return {
    kind,
    name,
    action,
    subject: subjectOf(planned),
    ...(namespace === undefined ? {} : { namespace }),
    ...(detail === undefined ? {} : { detail }),
    ...(object === undefined ? {} : { text: readable(object) }),
  };
}

function readable(object: NonNullable<PlannedObject["object"]>): string {
  const shortened = JSON.parse(
    JSON.stringify(object, (_, value: unknown) =>
      typeof value === "string" && value.length > 2_000 ? `… ${value.length} characters …` : value,
    ),
  ) as unknown;
  const text = stringify(shortened, { lineWidth: 0 });
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}\n…` : text;
}
