/** One end of a connection in memory: what was written is kept; a test plays the peer. */
import type { ByteStream, StreamOwner } from "../../../../runtime/proxy/transport/stream.ts";
import { nobody } from "../../../../runtime/proxy/transport/stream.ts";

export class MemoryStream implements ByteStream {
  owner: StreamOwner = nobody;
  readonly unsent = false;
  written = "";
  paused = false;
  ended = false;
  /** How it ended; undefined while open. */
  closed: "closed" | "reset" | undefined;
  /** Called after every write. */
  onWrite: () => void = () => undefined;

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.closed !== undefined || this.ended) return true;
    this.written += buffer.toString("latin1", start, end);
    this.onWrite();
    return true;
  }

  end(): void {
    this.ended = true;
  }

  close(): void {
    this.#finish("closed");
  }

  reset(): void {
    this.#finish("reset");
  }

  #finish(how: "closed" | "reset"): void {
    if (this.closed !== undefined) return;
    this.closed = how;
    this.owner.onClose("");
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  /** The peer sends `text`, cut at `cuts` (offsets), a piece whenever the stream takes one. */
  async receive(text: string, cuts: readonly number[]): Promise<void> {
    const edges = [0, ...new Set(cuts.filter((cut) => cut > 0 && cut < text.length))].sort((a, b) => a - b);
    for (const [index, from] of edges.entries()) {
      for (let turns = 0; this.paused && turns < 1_000; turns++) await new Promise(setImmediate);
      if (this.closed !== undefined) return;
      // As a shared read buffer: other bytes around, overwritten after.
      const piece = text.slice(from, edges[index + 1] ?? text.length);
      const buffer = Buffer.from(`GARBAGE\n${piece}\r\n\r\nGARBAGE`, "latin1");
      this.owner.onData(buffer, 8, 8 + piece.length);
      buffer.fill(0x7a);
    }
  }
}
