/**
 * Signs of life of HTTP/2 connections (reference 9.7): one that was silent is asked for one, and ends without an answer. One
 * ticker for all of them, which runs while there are any.
 *
 * That the other end asks is none: it does so because it hears nothing, and where a network loses all that goes one way, whoever
 * is heard would keep a connection for as long again on which nobody hears it.
 */

export interface Living {
  /** Ticks since the other end was last heard: see {@link heard}. */
  silentTicks: number;
  readonly life: Life;
  /** Every {@link TICK_MS}. */
  onTick?(): void;
  ping(): void;
  die(): void;
}

/** After how many ticks of silence it is asked, and given up. */
export interface Life {
  readonly askAt: number;
  readonly dieAt: number;
}

export const TICK_MS = 2_000;
/** Linkerd asks after 10 s, and waits 3: ticks make it 8 to 10, and 6. */
export const DEFAULT_LIFE: Life = lifeOf(10_000, 3_000);

/** @param intervalMs of silence before it is asked. @param timeoutMs for its answer. Both become ticks: up to 2 s longer */
export function lifeOf(intervalMs: number, timeoutMs: number): Life {
  const askAt = Math.max(1, Math.ceil(intervalMs / TICK_MS));
  // The answer's first tick may be nearly over when it is asked.
  return { askAt, dieAt: askAt + Math.max(1, Math.ceil(timeoutMs / TICK_MS)) + 1 };
}

const all = new Set<Living>();
let ticker: NodeJS.Timeout | undefined;

export function keepAlive(connection: Living): void {
  all.add(connection);
  ticker ??= setInterval(tick, TICK_MS);
}

/** A frame of it (RFC 9113, 6.7). */
const PING_BYTES = 17;

/** `bytes` were read of the other end, among them so many PINGs that ask. */
export function heard(connection: Living, bytes: number, pings: number): void {
  if (bytes > pings * PING_BYTES) connection.silentTicks = 0;
}

export function letGo(connection: Living): void {
  if (!all.delete(connection) || all.size > 0) return;
  clearInterval(ticker);
  ticker = undefined;
}

function tick(): void {
  for (const connection of [...all]) {
    connection.silentTicks++;
    const { askAt, dieAt } = connection.life;
    if (connection.silentTicks === askAt) connection.ping();
    else if (connection.silentTicks >= dieAt) connection.die();
    else connection.onTick?.();
  }
}
