/** One connection to one cluster, fixed for its life: whatever comes late for an older session is dropped with it. */
import type { ResolvedContext } from "../../runtime/kube/contexts.ts";
import type { KubeClient } from "../../runtime/kube/types.ts";

export interface Session {
  /** Counts up: tells sessions of the same context apart. */
  readonly id: number;
  readonly context: ResolvedContext;
  readonly client: KubeClient;
  /** Aborts when the session ends. */
  readonly signal: AbortSignal;
}
