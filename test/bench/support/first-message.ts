import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** What a process that was started with an IPC channel says first. @throws Error naming it where it ends before */
export async function firstMessage(child: ChildProcess, what: string): Promise<unknown> {
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`${what} ended with ${code}: see its output above`);
  });
  ended.catch(() => undefined);
  const [message] = await Promise.race([once(child, "message"), ended]);
  return message;
}
