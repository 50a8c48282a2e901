/** What may be sent on a connection: its window, and the streams that wait for it, for their own, or for a flush. */
import type { FrameWriter } from "./frame-writer.ts";
import { DEFAULT_WINDOW } from "./protocol.ts";
import type { Http2Stream } from "./stream.ts";
import { SendWindow } from "./windows.ts";

/** Beyond it nothing is taken until a flush. */
const OUTPUT_HIGH_WATER = 65_536;

export class SendFlow {
  readonly window = new SendWindow(DEFAULT_WINDOW);
  readonly #writer: FrameWriter;
  /** In the order in which they came to wait. */
  readonly #blocked = new Set<Http2Stream>();

  constructor(writer: FrameWriter) {
    this.#writer = writer;
  }

  /** Writes what windows and output allow of `bytes[start, end)`. @returns how many bytes; the stream waits where not all went */
  send(
    stream: Http2Stream,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
    maxFrameBytes: number,
  ): number {
    const wanted = end - start;
    const window = this.#writer.size < OUTPUT_HIGH_WATER ? this.window.available : 0;
    const taken = Math.min(wanted, Math.max(0, Math.min(stream.sendWindow, window)));
    const whole = taken === wanted;
    // An end without bytes needs no window.
    if (taken > 0 || (whole && endStream)) {
      this.#writer.data(stream.id, bytes, start, start + taken, whole && endStream, maxFrameBytes);
      stream.sendWindow -= taken;
      this.window.available -= taken;
    }
    if (whole) this.#blocked.delete(stream);
    else this.#blocked.add(stream);
    return taken;
  }

  forget(stream: Http2Stream): void {
    this.#blocked.delete(stream);
  }

  clear(): void {
    this.#blocked.clear();
  }

  /** The stream's own window has grown. */
  wakeOne(stream: Http2Stream): void {
    if (this.#blocked.delete(stream)) stream.handler.onWritable();
  }

  /** Lets those send that can, each in its turn. */
  wake(): void {
    if (this.#blocked.size === 0) return;
    for (const stream of [...this.#blocked]) {
      if (this.window.available <= 0 || this.#writer.size >= OUTPUT_HIGH_WATER) return;
      if (stream.sendWindow > 0 && this.#blocked.delete(stream)) stream.handler.onWritable();
    }
  }
}
