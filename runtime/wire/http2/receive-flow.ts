/** What may be received on a connection: its window, and what handlers keep of its streams (RFC 9113, 5.2 and 6.9). */
import type { FrameWriter } from "./frame-writer.ts";
import { DEFAULT_WINDOW } from "./protocol.ts";
import type { Http2Stream } from "./stream.ts";
import { ReceiveWindow } from "./windows.ts";

export class ReceiveFlow {
  readonly #writer: FrameWriter;
  readonly #onOutput: () => void;
  readonly #window: ReceiveWindow;
  readonly #maxStored: number;
  /** Bytes of all streams that handlers keep, and that the connection was credited for. */
  #stored = 0;
  #stopped = false;

  /** @param maxStored what handlers may keep of all streams before it counts against the connection's window, bytes */
  constructor(writer: FrameWriter, window: number, maxStored: number, onOutput: () => void) {
    this.#writer = writer;
    this.#onOutput = onOutput;
    this.#window = new ReceiveWindow(window, DEFAULT_WINDOW);
    this.#maxStored = maxStored;
    // The other end does not know yet that it is larger than by default.
    this.credit(0);
  }

  /** No more credit is given. */
  stop(): void {
    this.#stopped = true;
  }

  /** What handlers keep holds up all streams. */
  get shut(): boolean {
    return this.#window.shut;
  }

  /** A DATA frame of so many bytes begins. @returns false where the other end sends more than it may */
  receive(bytes: number): boolean {
    return this.#window.receive(bytes);
  }

  /** Bytes that belong to no stream, or no longer, are used up. */
  credit(bytes: number): void {
    const credit = this.#window.consume(bytes);
    if (credit > 0 && !this.#stopped) this.#update(0, credit);
  }

  /** The handler is done with so many bytes of its stream. */
  creditStream(stream: Http2Stream, bytes: number): void {
    const stored = Math.min(bytes, stream.stored);
    stream.stored -= stored;
    this.#stored -= stored;
    stream.unconsumed -= bytes - stored;
    this.credit(bytes - stored);
    if (stream.remoteEnded) return;
    const credit = stream.credit(bytes);
    if (credit > 0) this.#update(stream.id, credit);
  }

  /** What a handler keeps holds its own stream back, and within the store's bounds no other. */
  store(stream: Http2Stream): void {
    const bytes = stream.unconsumed;
    if (this.#stored + bytes > this.#maxStored) return;
    stream.unconsumed = 0;
    stream.stored += bytes;
    this.#stored += bytes;
    this.credit(bytes);
  }

  /** The stream is over: nobody will be done with what its handler has. */
  forget(stream: Http2Stream): void {
    this.#stored -= stream.stored;
    stream.stored = 0;
    this.credit(stream.unconsumed);
    stream.unconsumed = 0;
  }

  #update(streamId: number, credit: number): void {
    this.#writer.windowUpdate(streamId, credit);
    this.#onOutput();
  }
}
