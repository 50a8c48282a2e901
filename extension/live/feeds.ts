/** The feeds, loaded when the first of them runs. */
import type { feedDetails as FeedDetails } from "./details-feed.ts";
import type { feedStats as FeedStats } from "./stat-feed.ts";

export async function feedStats(...args: Parameters<typeof FeedStats>): Promise<void> {
  const module = await import("./stat-feed.ts");
  await module.feedStats(...args);
}

export async function feedDetails(...args: Parameters<typeof FeedDetails>): Promise<void> {
  const module = await import("./details-feed.ts");
  module.feedDetails(...args);
}
