/** Reads a connection's first bytes until somebody knows what it is. */
import type { ByteStream, StreamOwner } from "../transport/stream.ts";

/** Why a decision is asked for: bytes came, none came in time, or none will come. */
export type Occasion = "data" | "silence" | "end";

/**
 * Looks at all bytes so far, `bytes[start, end)`, valid during the call. True: it has taken the stream over, bytes included.
 * False asks for more; after `silence` or `end` there is nothing more, and the connection is closed.
 */
export type Decide = (bytes: Buffer, start: number, end: number, occasion: Occasion) => boolean;

const NONE = Buffer.alloc(0);

export class FirstBytes implements StreamOwner {
  stream: ByteStream | undefined;
  readonly #decide: Decide;
  readonly #onGone: (errno: string) => void;
  readonly #timer: NodeJS.Timeout;
  #bytes: Buffer = NONE;

  /** @param onGone the connection is over before it was decided */
  constructor(timeoutMs: number, decide: Decide, onGone: (errno: string) => void) {
    this.#decide = decide;
    this.#onGone = onGone;
    this.#timer = setTimeout(() => this.#settle("silence"), Math.min(timeoutMs, MAX_TIMEOUT_MS));
  }

  onData(buffer: Buffer, start: number, end: number): void {
    if (this.#bytes.length > 0) {
      buffer = Buffer.concat([this.#bytes, buffer.subarray(start, end)]);
      start = 0;
      end = buffer.length;
    }
    const gathered = this.#bytes.length > 0;
    if (this.#decide(buffer, start, end, "data")) clearTimeout(this.#timer);
    else this.#bytes = gathered ? buffer : Buffer.from(buffer.subarray(start, end));
  }

  #settle(occasion: Occasion): void {
    clearTimeout(this.#timer);
    if (!this.#decide(this.#bytes, 0, this.#bytes.length, occasion)) this.stream?.close();
  }

  onEnd(): void {
    this.#settle("end");
  }

  onDrain(): void {}

  onClose(errno: string): void {
    clearTimeout(this.#timer);
    this.#onGone(errno);
  }
}

/** Timers of Node end at 2^31 ms; a detection that is switched off waits for a year (reference 4.4). */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
