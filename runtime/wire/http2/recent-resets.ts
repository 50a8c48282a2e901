/** Streams that one end has reset lately: what is still under way on them is no error (RFC 9113, 5.1). */

/** Twice as many as streams that may be open at once and reset in one go. */
const REMEMBERED = 2_048;

export class RecentResets {
  readonly #ids = new Set<number>();

  add(streamId: number): void {
    this.#ids.add(streamId);
    if (this.#ids.size <= REMEMBERED) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      return;
    }
  }

  has(streamId: number): boolean {
    return this.#ids.has(streamId);
  }
}
