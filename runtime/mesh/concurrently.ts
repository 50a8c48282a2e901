/** Enough to hide the way to a far API server; few enough for its flow control. */
const AT_ONCE = 6;

/** Maps `items` with at most a few calls under way; results keep the order. The first rejection is the result's. */
export async function concurrently<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array<R>(items.length);
  const queue = items.entries();
  async function worker(): Promise<void> {
    for (const [index, item] of queue) results[index] = await work(item);
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  return results;
}
