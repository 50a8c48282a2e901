/**
 * The open streams of a connection by their ids. Not a Map: one whose entries come and go is made anew again and again, and each former
 * table refers to the next, so that V8 carries the streams of all of them into its old space. That was half of a relay's time.
 */
import type { Http2Stream } from "./stream.ts";

const FIRST_SLOTS = 16;
/** One that was larger for a while becomes small again when it is empty. */
const KEPT_SLOTS = 256;

/** Open addressing with linear probing; at least half of the slots are free. */
export class StreamTable {
  #slots: (Http2Stream | undefined)[] = emptySlots(FIRST_SLOTS);
  size = 0;

  get(id: number): Http2Stream | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let index = (id >>> 1) & mask; ; index = (index + 1) & mask) {
      const stream = slots[index];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** @param stream whose id is not there yet */
  add(stream: Http2Stream): void {
    this.size++;
    if (this.size * 2 > this.#slots.length) {
      const before = this.#slots;
      this.#slots = emptySlots(before.length * 2);
      for (const each of before) if (each !== undefined) this.#place(each);
    }
    this.#place(stream);
  }

  #place(stream: Http2Stream): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let index = (stream.id >>> 1) & mask;
    while (slots[index] !== undefined) index = (index + 1) & mask;
    slots[index] = stream;
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let free = (id >>> 1) & mask;
    for (; ; free = (free + 1) & mask) {
      const stream = slots[free];
      if (stream === undefined) return;
      if (stream.id === id) break;
    }
    // What was placed past it for want of room moves up, or it would not be found any more.
    for (let index = (free + 1) & mask; ; index = (index + 1) & mask) {
      const stream = slots[index];
      if (stream === undefined) break;
      const home = (stream.id >>> 1) & mask;
      if (((index - home) & mask) < ((index - free) & mask)) continue;
      slots[free] = stream;
      free = index;
    }
    slots[free] = undefined;
    this.size--;
    if (this.size === 0 && slots.length > KEPT_SLOTS) this.#slots = emptySlots(FIRST_SLOTS);
  }

  clear(): void {
    this.#slots = emptySlots(FIRST_SLOTS);
    this.size = 0;
  }

  /** Those that are open now, in the order of their ids. */
  all(): Http2Stream[] {
    return this.#slots.filter((stream) => stream !== undefined).sort((one, other) => one.id - other.id);
  }
}

function emptySlots(count: number): (Http2Stream | undefined)[] {
  return new Array<Http2Stream | undefined>(count).fill(undefined);
}
