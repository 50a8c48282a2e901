/** Length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message"), one at a time, however the bytes come. */

const PREFIX_BYTES = 5;

/** What comes is no message that this end can take. */
export class MessageError extends Error {
  readonly tooLarge: boolean;

  constructor(problem: string, tooLarge: boolean) {
    super(problem);
    this.name = "MessageError";
    this.tooLarge = tooLarge;
  }
}

export class MessageReader {
  readonly #maxBytes: number;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixed = 0;
  #left = 0;
  #pieces: Buffer[] = [];
  /** The message that the last {@link take} completed: valid until the bytes it was given are. */
  message: Buffer | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a message has begun and is not complete. */
  get partial(): boolean {
    return this.#prefixed > 0;
  }

  /** Takes of `bytes[at, end)` up to the end of one message. @returns where it stopped. @throws MessageError */
  take(bytes: Buffer, at: number, end: number): number {
    this.message = undefined;
    if (this.#prefixed < PREFIX_BYTES) {
      const taken = Math.min(PREFIX_BYTES - this.#prefixed, end - at);
      bytes.copy(this.#prefix, this.#prefixed, at, at + taken);
      this.#prefixed += taken;
      at += taken;
      if (this.#prefixed < PREFIX_BYTES) return at;
      this.#begin();
    }
    const taken = Math.min(this.#left, end - at);
    const piece = bytes.subarray(at, at + taken);
    this.#left -= taken;
    if (this.#left > 0) {
      if (taken > 0) this.#pieces.push(Buffer.from(piece));
      return at + taken;
    }
    this.message = this.#pieces.length === 0 ? piece : Buffer.concat([...this.#pieces, piece]);
    this.#pieces = [];
    this.#prefixed = 0;
    return at + taken;
  }

  #begin(): void {
    if (this.#prefix[0] !== 0) throw new MessageError("a compressed message, which nobody allowed", false);
    this.#left = this.#prefix.readUInt32BE(1);
    if (this.#left > this.#maxBytes) {
      throw new MessageError(`a message of ${this.#left} bytes, more than ${this.#maxBytes}`, true);
    }
  }
}

/** A message with its prefix. */
export function frameMessage(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, PREFIX_BYTES);
  return framed;
}
