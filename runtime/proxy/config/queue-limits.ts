import type { Environment } from "./environment.ts";

/** What a balancer without a ready endpoint lets wait. */
export interface QueueLimits {
  /** Requests, or connections of bytes: more are shed. */
  readonly capacity?: number;
  /** After so long without a ready endpoint whoever waits fails, and whoever comes does at once. */
  readonly failfastMs?: number;
}

/** `<base>_QUEUE_CAPACITY` and `<base>_FAILFAST_TIMEOUT`; absent where nothing is said. */
export function readQueueLimits(env: Environment, base: string): QueueLimits {
  const capacity =
    env.text(`${base}_QUEUE_CAPACITY`) === undefined ? undefined : env.integer(`${base}_QUEUE_CAPACITY`, 0);
  const failfastMs = env.duration(`${base}_FAILFAST_TIMEOUT`);
  return { ...(capacity === undefined ? {} : { capacity }), ...(failfastMs === undefined ? {} : { failfastMs }) };
}
