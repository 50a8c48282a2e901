/** Keeps a stream of figures going: what breaks is taken up again, ever more slowly. Knows no `vscode`. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Explanation, explain } from "../errors/explain.ts";

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** A stream that lived this long starts with short pauses again. */
const HEALTHY_MS = 30_000;

export interface RetryHooks {
  /** It broke and is tried again after the pause. */
  readonly onProblem: (problem: Explanation) => void;
  /** Troubles that trying again does not mend; the loop ends with them. */
  readonly isFinal?: (problem: Explanation) => boolean;
}

/** Runs `stream` until `signal` aborts, or a final trouble, which is returned. */
export async function keepStreaming(
  stream: () => Promise<void>,
  signal: AbortSignal,
  { onProblem, isFinal }: RetryHooks,
): Promise<Explanation | undefined> {
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    const began = performance.now();
    try {
      await stream();
    } catch (error) {
      if (signal.aborted) return undefined;
      const problem = explain(error);
      if (isFinal?.(problem) === true) return problem;
      onProblem(problem);
    }
    if (performance.now() - began > HEALTHY_MS) pause = FIRST_PAUSE_MS;
    try {
      await sleep(pause * (0.8 + Math.random() * 0.4), undefined, { signal });
    } catch {
      return undefined;
    }
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
  return undefined;
}
