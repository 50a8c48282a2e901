import { setTimeout as sleep } from "node:timers/promises";

/** Waits until `condition` holds. @throws Error naming `what` after `limitMs` */
export async function until(what: string, condition: () => boolean, limitMs = 15_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
    await sleep(5);
  }
}
