/**
 * What changed in one pod's counters, from scrape to scrape, for the last hour: only what changed is kept, in bytes, and
 * the older it is the longer the spans that are kept together. An idle pod costs some numbers a minute, a busy one some
 * tens of bytes.
 */

/** Spans are joined up to `spanMs` when they are older than `ageMs`. */
const RESOLUTIONS = [
  { ageMs: 720_000, spanMs: 60_000 },
  { ageMs: 120_000, spanMs: 10_000 },
] as const;
/** The longest window, and one coarse span more. */
const KEEP_MS = 3_720_000;
const COMPACT_EVERY = 24;
const FIRST_BYTES = 64;

/** Changes of one span: code → amount, amounts above 0. */
export type Deltas = ReadonlyMap<number, number>;

export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Times are milliseconds on one clock of the caller's. */
export class DeltaLog {
  #from: number[] = [];
  #to: number[] = [];
  /** Where each span's bytes end. */
  #end: number[] = [];
  #bytes = new Uint8Array(FIRST_BYTES);
  #used = 0;
  #sinceCompaction = 0;

  get spans(): number {
    return this.#to.length;
  }

  get bytes(): number {
    return this.#bytes.length;
  }

  /** @param now end of the span. Codes and amounts are whole numbers. */
  append(from: number, now: number, deltas: Deltas): void {
    this.#push(from, now, deltas);
    if (++this.#sinceCompaction >= COMPACT_EVERY || now - (this.#from[0] ?? now) > KEEP_MS) this.#compact(now);
  }

  /**
   * Tells of every change in the window that begins at `start`. A span counts when the greater part of it lies in the
   * window; where none does, the last one if it ends there.
   * @returns what the spans that counted cover, undefined where there was none
   */
  read(start: number, visit: (code: number, amount: number) => void): Span | undefined {
    let first = this.#to.length;
    while (first > 0 && (this.#from[first - 1]! + this.#to[first - 1]!) / 2 >= start) first--;
    if (first === this.#to.length && (this.#to.at(-1) ?? Number.NEGATIVE_INFINITY) > start) first--;
    if (first === this.#to.length) return undefined;
    this.#each(this.#end[first - 1] ?? 0, this.#used, visit);
    return { from: this.#from[first]!, to: this.#to.at(-1)! };
  }

  #push(from: number, to: number, deltas: Deltas): void {
    for (const [code, amount] of deltas) {
      this.#writeVarint(code);
      this.#writeVarint(amount);
    }
    this.#from.push(from);
    this.#to.push(to);
    this.#end.push(this.#used);
  }

  #compact(now: number): void {
    const old = { from: this.#from, to: this.#to, end: this.#end, bytes: this.#bytes };
    const kept = old.to.findIndex((to) => now - to <= KEEP_MS);
    this.#from = [];
    this.#to = [];
    this.#end = [];
    this.#used = 0;
    this.#sinceCompaction = 0;
    // Written anew beside the old bytes: reading and writing never meet.
    this.#bytes = new Uint8Array(FIRST_BYTES);
    const reader = new DeltaLog();
    reader.#bytes = old.bytes;
    for (let index = kept === -1 ? old.to.length : kept; index < old.to.length; ) {
      const from = old.from[index]!;
      const joined = new Map<number, number>();
      let to = from;
      do {
        to = old.to[index]!;
        reader.#each(old.end[index - 1] ?? 0, old.end[index]!, (code, amount) =>
          joined.set(code, (joined.get(code) ?? 0) + amount),
        );
        index++;
      } while (index < old.to.length && mayJoin(now, from, old.from[index]!, to, old.to[index]!));
      this.#push(from, to, joined);
    }
    this.#bytes = this.#bytes.slice(0, Math.max(this.#used, FIRST_BYTES));
  }

  #each(from: number, end: number, visit: (code: number, amount: number) => void): void {
    for (let at = from; at < end; ) {
      const code = this.#varint(at);
      const amount = this.#varint(code.next);
      visit(code.value, amount.value);
      at = amount.next;
    }
  }

  /** Base 128, least significant first. Numbers may exceed 32 bits: no bit operators. */
  #writeVarint(value: number): void {
    let rest = value;
    do {
      if (this.#used === this.#bytes.length) this.#grow();
      const low = rest % 128;
      rest = Math.floor(rest / 128);
      this.#bytes[this.#used++] = rest > 0 ? low + 128 : low;
    } while (rest > 0);
  }

  #varint(from: number): { readonly value: number; readonly next: number } {
    let value = 0;
    let scale = 1;
    let at = from;
    for (;;) {
      const byte = this.#bytes[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 128) return { value, next: at };
      scale *= 128;
    }
  }

  #grow(): void {
    const larger = new Uint8Array(this.#bytes.length * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** @param from of the joined span, `to` its end so far; the next span begins at `nextFrom` */
function mayJoin(now: number, from: number, nextFrom: number, to: number, nextTo: number): boolean {
  // A gap (the pod could not be scraped) stays a gap.
  if (nextFrom - to > 1_000) return false;
  const age = now - nextTo;
  const resolution = RESOLUTIONS.find(({ ageMs }) => age >= ageMs);
  return resolution !== undefined && nextTo - from <= resolution.spanMs;
}
