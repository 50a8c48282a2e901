/** Writes of HTTP/2 connections, once a turn of the event loop: what many streams say in a turn makes one write, and one TLS record. */

import { readsSoFar } from "../transport/handle-stream.ts";

export interface Flushable {
  flush(): void;
}

/** Reads a millisecond above which several come in one turn of the loop, so that waiting for its end saves writes. */
const BUSY_READS_PER_MS = 12;
/** How often it is looked at, milliseconds. */
const LOOK_EVERY_MS = 5;

let due: Flushable[] = [];
let spare: Flushable[] = [];
let busy = false;
let lookedAt = 0;
let readsThen = 0;
const now = Promise.resolve();

/**
 * Has `connection` flushed after everything that is to be read in this turn; where there is time, after what is being read: an empty
 * turn of the loop costs as much as a small write. Once for each time it has something to say.
 */
export function flushThisTurn(connection: Flushable): void {
  if (due.length === 0) {
    if (isBusy()) setImmediate(flushAll);
    else now.then(flushAll);
  }
  due.push(connection);
}

function isBusy(): boolean {
  const time = performance.now();
  const passed = time - lookedAt;
  if (passed < LOOK_EVERY_MS) return busy;
  const reads = readsSoFar();
  busy = reads - readsThen > BUSY_READS_PER_MS * passed;
  lookedAt = time;
  readsThen = reads;
  return busy;
}

function flushAll(): void {
  const all = due;
  due = spare;
  spare = all;
  for (const connection of all) connection.flush();
  all.length = 0;
}
