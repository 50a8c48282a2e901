/**
 * One direction of an exchange: a body and its trailers, from one stream to the other. What the receiver does not take yet waits here,
 * and its sender is credited only for what was taken: no more waits than its stream's window allows.
 */
import type { HeaderField } from "../../wire/hpack/field.ts";
import type { UpstreamStream } from "./upstreams.ts";

const NONE = Buffer.alloc(0);
/** Small bodies share memory: Node's own slabs. */
const SMALL_BYTES = 2_048;
/** What is larger lies in buffers that are used again: one waits at a time, for the most part, and not for long. */
const LARGE_BYTES = 65_536;
const MAX_SPARE = 32;
const spare: Buffer[] = [];

function take(bytes: number): Buffer {
  if (bytes <= SMALL_BYTES) return Buffer.allocUnsafe(bytes);
  if (bytes <= LARGE_BYTES) return spare.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES);
  return Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)));
}

function giveBack(buffer: Buffer): void {
  if (buffer.length === LARGE_BYTES && spare.length < MAX_SPARE) spare.push(buffer);
}

export class Half {
  readonly #from: Pick<UpstreamStream, "consume">;
  #to: UpstreamStream | undefined;
  #bytes: Buffer = NONE;
  #length = 0;
  /** How much of what waits was taken. */
  #sent = 0;
  /** How much of it the sender was credited for: more than was sent when it is sent once more. */
  #credited = 0;
  /** No more bytes come; what follows, if anything, are trailers. */
  #whole = false;
  #trailers: readonly HeaderField[] | undefined;
  /** What was sent stays, to be sent once more: so many bytes at most. */
  #keep = -1;
  /** The receiver has all of it, its end included. */
  ended = false;

  constructor(from: Pick<UpstreamStream, "consume">) {
    this.#from = from;
  }

  /** Whether all that came is still here. */
  get kept(): boolean {
    return this.#keep >= 0;
  }

  /** Keeps what comes for being sent once more, while it is not more than `most` bytes. */
  keep(most: number): void {
    this.#keep = most;
  }

  /** It will not be sent once more. */
  release(): void {
    this.#keep = -1;
    if (this.#sent === this.#length) this.#forget();
  }

  /** Sends what is here, and what comes, to `to`: from the beginning, where it was kept. @param ended the head was all of it */
  attach(to: UpstreamStream, ended: boolean): void {
    this.#to = to;
    this.#sent = 0;
    this.ended = ended;
    if (!ended) this.writable();
  }

  /** The receiver has all of it by other ways: there was nothing but a head. */
  end(): void {
    this.ended = true;
  }

  detach(): void {
    this.#to = undefined;
  }

  /** `bytes[start, end)` came. */
  data(bytes: Buffer, start: number, end: number, whole: boolean): void {
    const length = end - start;
    if (whole) this.#whole = true;
    if (this.#keep >= 0 && this.#length + length > this.#keep && this.#to !== undefined) this.release();
    if (this.#to === undefined || this.#keep >= 0 || this.#sent < this.#length) {
      this.#append(bytes, start, end);
      this.writable();
      return;
    }
    const taken = this.#to.send(bytes, start, end, whole);
    if (taken > 0) this.#from.consume(taken);
    if (taken < length) this.#append(bytes, start + taken, end);
    else if (whole) this.ended = true;
  }

  /** `fields` are valid during the call only. */
  trailers(fields: readonly HeaderField[]): void {
    this.#trailers = [...fields];
    this.#whole = true;
    this.writable();
  }

  /** The receiver takes more. */
  writable(): void {
    const to = this.#to;
    if (to === undefined || this.ended) return;
    const last = this.#whole && this.#trailers === undefined;
    if (this.#sent < this.#length || last) {
      const taken = to.send(this.#bytes, this.#sent, this.#length, last);
      this.#sent += taken;
      this.#credit();
      if (this.#sent < this.#length) return;
      if (last) this.ended = true;
    }
    if (this.#trailers !== undefined) {
      to.sendHeaders(this.#trailers, true);
      this.ended = true;
    }
    if (this.#keep < 0) this.#forget();
  }

  #credit(): void {
    const credit = this.#sent - this.#credited;
    if (credit <= 0) return;
    this.#credited = this.#sent;
    this.#from.consume(credit);
  }

  #append(bytes: Buffer, start: number, end: number): void {
    if (this.#length + end - start > this.#bytes.length) this.#makeRoom(end - start);
    this.#length += bytes.copy(this.#bytes, this.#length, start, end);
  }

  /** What was taken makes room first: a receiver that is always a little behind would have the buffer grow with the body. */
  #makeRoom(bytes: number): void {
    const gone = this.#keep < 0 ? this.#sent : 0;
    const waiting = this.#length - gone;
    const wanted = waiting + bytes;
    const before = this.#bytes;
    if (wanted > before.length) this.#bytes = take(wanted);
    if (waiting > 0) before.copy(this.#bytes, 0, gone, this.#length);
    if (before !== this.#bytes) giveBack(before);
    this.#length = waiting;
    this.#sent -= gone;
    this.#credited -= gone;
  }

  #forget(): void {
    if (this.#bytes === NONE) return;
    giveBack(this.#bytes);
    this.#bytes = NONE;
    this.#length = 0;
    this.#sent = 0;
    this.#credited = 0;
  }
}
