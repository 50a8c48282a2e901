import type { ByteStream } from "../transport/stream.ts";

/** How long a client may take to close after its last answer; closing earlier could take the answer away from it (RFC 9112, 9.6). */
const LINGER_MS = 1_000;
/** How often it may take as long again while it is still reading: whoever reads nothing is not waited for. */
const MOST_LINGERS = 60;

/** Ends a client's connection: half-closes, and closes once the client has, or has had time to. */
export class Farewell {
  readonly #stream: ByteStream;
  #timer: NodeJS.Timeout | undefined;
  #lingers = 0;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  begin(): void {
    this.#timer = setTimeout(this.#onTime, LINGER_MS);
    this.#stream.resume();
    this.#stream.end();
  }

  readonly #onTime = (): void => {
    // A slow client may still be reading.
    if (this.#stream.unsent && ++this.#lingers < MOST_LINGERS) this.#timer = setTimeout(this.#onTime, LINGER_MS);
    else this.#stream.close();
  };

  /** The connection is closed. */
  cancel(): void {
    clearTimeout(this.#timer);
  }
}
