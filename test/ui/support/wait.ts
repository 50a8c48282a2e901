/** Patience with what a live window shows. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Locator } from "playwright-core";

export async function waitForText(row: Locator, wanted: RegExp, timeoutMs: number): Promise<void> {
  let last = "";
  await waitFor(
    `a row shows ${wanted}`,
    timeoutMs,
    async () => {
      last = (await row.textContent({ timeout: 1_000 }).catch(() => "")) ?? "";
      return wanted.test(last);
    },
    () => `it shows "${last}"`,
  );
}

/** What a screen reader says of a row. */
export async function waitForLabel(row: Locator, wanted: RegExp, timeoutMs: number): Promise<void> {
  let last = "";
  await waitFor(
    `a row says ${wanted}`,
    timeoutMs,
    async () => {
      last = (await row.getAttribute("aria-label", { timeout: 1_000 }).catch(() => "")) ?? "";
      return wanted.test(last);
    },
    () => `it says "${last}"`,
  );
}

export async function waitFor(
  what: string,
  timeoutMs: number,
  holds: () => Promise<boolean>,
  otherwise: () => string = () => "",
): Promise<void> {
  const until = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > until) throw new Error(`${what}: not within ${timeoutMs / 1_000} s; ${otherwise()}`);
    await sleep(300);
  }
}
