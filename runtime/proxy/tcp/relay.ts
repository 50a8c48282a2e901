/** Bytes both ways between two connections, half-close included (reference 9.2). */
import type { TcpSeries } from "../metrics/series.ts";
import { type ByteStream, FULL_RECORD_BYTES, type StreamOwner } from "../transport/stream.ts";

/** One side of a relay: a stream and where its bytes are counted. */
export interface RelaySide {
  readonly stream: ByteStream;
  readonly series: TcpSeries;
}

class RelayEnd implements StreamOwner {
  readonly #stream: ByteStream;
  readonly #series: TcpSeries;
  readonly #onClosed: (errno: string) => void;
  other: RelayEnd | undefined;
  closed = false;

  constructor(side: RelaySide, onClosed: (errno: string) => void) {
    this.#stream = side.stream;
    this.#series = side.series;
    this.#onClosed = onClosed;
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.#series.read(end - start);
    if (!(this.other as RelayEnd).send(buffer, start, end)) this.#stream.pause();
  }

  send(buffer: Buffer, start: number, end: number): boolean {
    this.#series.wrote(end - start);
    return this.#stream.write(buffer, start, end, end - start === FULL_RECORD_BYTES);
  }

  onEnd(): void {
    this.other?.end();
  }

  end(): void {
    this.#stream.end();
  }

  onDrain(): void {
    this.other?.resume();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    if (!this.closed) this.#stream.resume();
  }

  onClose(errno: string): void {
    if (this.closed) return;
    this.closed = true;
    this.#series.closed(errno);
    // After a clean end the other side has been told already, and sends what it still has.
    if (errno === "") this.other?.end();
    else this.other?.reset();
    this.#onClosed(errno);
  }

  close(): void {
    this.#stream.close();
  }

  reset(): void {
    this.#stream.reset();
  }
}

/**
 * Relays until both sides are closed; then calls `done` once, with the errno of the side that broke first.
 * Takes both streams over: their owners hear no more of them.
 */
export class Relay {
  readonly #a: RelayEnd;
  readonly #b: RelayEnd;

  constructor(a: RelaySide, b: RelaySide, done: (errno: string) => void) {
    let open = 2;
    let first = "";
    const closed = (errno: string): void => {
      first ||= errno;
      if (--open === 0) done(first);
    };
    this.#a = new RelayEnd(a, closed);
    this.#b = new RelayEnd(b, closed);
    this.#a.other = this.#b;
    this.#b.other = this.#a;
    a.stream.owner = this.#a;
    b.stream.owner = this.#b;
  }

  /** Bytes that `a` had sent before. */
  forwardFromA(bytes: Buffer, start = 0, end: number = bytes.length): void {
    if (start < end && !this.#b.send(bytes, start, end)) this.#a.pause();
  }

  forwardFromB(bytes: Buffer, start = 0, end: number = bytes.length): void {
    if (start < end && !this.#a.send(bytes, start, end)) this.#b.pause();
  }

  close(): void {
    this.#a.close();
    this.#b.close();
  }
}
