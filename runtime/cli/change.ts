/** The way every change of a cluster goes: agreed to, run with progress, stopped by Ctrl-C. */
import { MeshError } from "../mesh/errors.ts";
import type { Run } from "../mesh/types.ts";
import { parseDuration } from "../model/duration.ts";
import type { Invocation } from "./command.ts";
import type { Connection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import type { Flags } from "./flags.ts";
import { ProgressLines } from "./progress-lines.ts";

/**
 * Asks, naming the context.
 * @param what e.g. `Install Weft 0.1.0`
 * @returns false where the answer is no. @throws MeshError where nobody is there to be asked
 */
export async function agreed(invocation: Invocation, connection: Connection, what: string): Promise<boolean> {
  const { flags, terminal, signal } = invocation;
  if (flags.is("yes")) return true;
  const where = `context "${connection.context}" (${connection.server})`;
  if (!terminal.interactive) {
    throw new MeshError(`this changes the cluster of ${where}, and nobody is here to agree`, "Add --yes.");
  }
  if (await terminal.confirm(`${what} on ${where}?`, signal)) return true;
  terminal.print("Nothing was changed.");
  return false;
}

/** Runs `work` with progress on the terminal. */
export async function withProgress<T>(invocation: Invocation, work: (run: Run) => Promise<T>): Promise<T> {
  const lines = new ProgressLines(invocation.terminal);
  const timeoutMs = waitMs(invocation.flags);
  try {
    return await work({
      onProgress: lines.report,
      signal: invocation.signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  } finally {
    lines.end();
  }
}

/** @throws UsageError where --wait is no duration */
export function waitMs(flags: Flags): number | undefined {
  const text = flags.text("wait");
  if (text === undefined) return undefined;
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined) throw new UsageError(`--wait is a duration such as 90s or 5m, not "${text}"`);
  return milliseconds;
}
