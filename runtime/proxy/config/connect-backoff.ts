import { ConfigError, type Environment } from "./environment.ts";

/** Pauses between tries to connect: they double from the first to the longest. */
export interface ConnectBackoff {
  readonly minMs: number;
  readonly maxMs: number;
  /** What is added at random, as a share. */
  readonly jitter: number;
}

/**
 * `<base>_EXP_BACKOFF_MIN`, `_MAX` and `_JITTER`: as Linkerd has it, the first two together, or none.
 * @returns undefined where nothing is said
 */
export function readConnectBackoff(env: Environment, base: string): ConnectBackoff | undefined {
  const minMs = env.duration(`${base}_EXP_BACKOFF_MIN`);
  const maxMs = env.duration(`${base}_EXP_BACKOFF_MAX`);
  const jitter = env.ratio(`${base}_EXP_BACKOFF_JITTER`, 0);
  if (minMs === undefined && maxMs === undefined && env.text(`${base}_EXP_BACKOFF_JITTER`) === undefined)
    return undefined;
  if (minMs === undefined || maxMs === undefined) {
    const missing = `${base}_EXP_BACKOFF_${minMs === undefined ? "MIN" : "MAX"}`;
    throw new ConfigError(missing, `is required where another of ${base}_EXP_BACKOFF_* is set`);
  }
  if (minMs === 0 || maxMs < minMs) {
    throw new ConfigError(`${base}_EXP_BACKOFF_MIN`, "must be more than 0, and at most the longest pause");
  }
  return { minMs, maxMs, jitter };
}
