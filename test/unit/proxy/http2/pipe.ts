/** Two ends of a connection in memory. Bytes go over when the test has them go, in pieces as it likes; writes beyond `limit` hold their end back. */
import { type ByteStream, nobody, type StreamOwner } from "../../../../runtime/proxy/transport/stream.ts";

const PADDING = 8;

export class PipeEnd implements ByteStream {
  owner: StreamOwner = nobody;
  peer: PipeEnd | undefined;
  ended = false;
  closed = false;
  readonly #limit: number;
  #waiting: Buffer[] = [];
  #bytes = 0;
  #full = false;
  #toldEnd = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get unsent(): boolean {
    return this.#bytes > 0;
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.ended || this.closed) throw new Error("written after its end");
    this.#waiting.push(Buffer.from(buffer.subarray(start, end)));
    this.#bytes += end - start;
    this.#full = this.#bytes >= this.#limit;
    return !this.#full;
  }

  end(): void {
    this.ended = true;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.owner.onClose("");
  }

  reset(): void {
    this.close();
  }

  pause(): void {}
  resume(): void {}

  /** Whether {@link pump} would do anything. */
  get idle(): boolean {
    if (this.peer === undefined || this.peer.closed) return true;
    return this.#bytes === 0 && (!this.closed || this.peer.closed) && (!this.ended || this.#toldEnd);
  }

  /** At most `most` bytes reach the other end; after the last one, how this end ended. */
  pump(most: number): void {
    const { peer } = this;
    if (peer === undefined || peer.closed) {
      this.#waiting = [];
      this.#bytes = 0;
      return;
    }
    if (this.#bytes > 0) {
      const all = Buffer.concat(this.#waiting);
      const piece = all.subarray(0, most);
      this.#waiting = [all.subarray(piece.length)];
      this.#bytes -= piece.length;
      // As a shared read buffer: other bytes around, overwritten after.
      const shared = Buffer.concat([Buffer.alloc(PADDING, 1), piece, Buffer.alloc(PADDING, 1)]);
      peer.owner.onData(shared, PADDING, PADDING + piece.length);
      shared.fill(0x7a);
    }
    if (this.#full && this.#bytes < this.#limit && !this.closed) {
      this.#full = false;
      this.owner.onDrain();
    }
    if (this.#bytes > 0 || peer.closed) return;
    if (this.closed) {
      peer.closed = true;
      peer.owner.onClose("ECONNRESET");
    } else if (this.ended && !this.#toldEnd) {
      this.#toldEnd = true;
      peer.owner.onEnd();
    }
  }
}

export function pipe(limit: number): [PipeEnd, PipeEnd] {
  const ends: [PipeEnd, PipeEnd] = [new PipeEnd(limit), new PipeEnd(limit)];
  ends[0].peer = ends[1];
  ends[1].peer = ends[0];
  return ends;
}
