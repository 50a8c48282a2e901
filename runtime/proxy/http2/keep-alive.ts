/**
 * Signs of life of HTTP/2 connections (reference 9.7): one that was silent is asked for one, and ends without an answer. One
 * ticker for all of them, which runs while there are any.
 */

export interface Living {
  /** Ticks since the other end was last heard. Set to 0 by whoever hears it. */
  silentTicks: number;
  ping(): void;
  die(): void;
}

const TICK_MS = 2_000;
/** Linkerd asks after 10 s, and waits 3: ticks make it 10 to 12, and 4 to 6. */
const ASK_AT = 5;
const DIE_AT = 8;

const all = new Set<Living>();
let ticker: NodeJS.Timeout | undefined;

export function keepAlive(connection: Living): void {
  all.add(connection);
  ticker ??= setInterval(tick, TICK_MS);
}

export function letGo(connection: Living): void {
  if (!all.delete(connection) || all.size > 0) return;
  clearInterval(ticker);
  ticker = undefined;
}

function tick(): void {
  for (const connection of [...all]) {
    connection.silentTicks++;
    if (connection.silentTicks === ASK_AT) connection.ping();
    else if (connection.silentTicks >= DIE_AT) connection.die();
  }
}
