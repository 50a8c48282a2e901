/** Tells a person how far a walk over objects has come. */
import type { PlannedObject, ProgressEvent, Run, WorkloadRef } from "./types.ts";

/** Counts steps; every step is started, may wait, and ends as done or failed. */
export class Progress {
  readonly #report: ((event: ProgressEvent) => void) | undefined;
  readonly #total: number;
  #completed = 0;

  constructor(run: Pick<Run, "onProgress">, total: number) {
    this.#report = run.onProgress;
    this.#total = total;
  }

  /** One step: reports its start and its end, and that it failed where `work` rejects. `work` resolves with a detail. */
  async step<T extends string | undefined>(
    subject: string,
    work: (waiting: (detail: string) => void) => Promise<T>,
  ): Promise<void> {
    this.#tell(subject, "started");
    try {
      const detail = await work((text) => this.#tell(subject, "waiting", text));
      this.#completed++;
      this.#tell(subject, "done", detail);
    } catch (error) {
      this.#tell(subject, "failed", error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  #tell(subject: string, state: ProgressEvent["state"], detail?: string): void {
    this.#report?.({
      subject,
      state,
      completed: this.#completed,
      total: this.#total,
      ...(detail === undefined ? {} : { detail }),
    });
  }
}

/** `Deployment weft/weft-controller`, `ClusterRole weft-view` */
export function subjectOf(object: Pick<PlannedObject, "kind" | "namespace" | "name"> | WorkloadRef): string {
  const { kind, namespace, name } = object;
  return namespace === undefined || kind === "Namespace" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
