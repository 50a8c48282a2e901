/** Takes the payload out of a body that HTTP/1 has framed, and that was found to be valid (`../http1/body.ts`). */
import type { BodyKind, Head } from "../http1/head.ts";

export interface PayloadSink {
  /** `last`: nothing follows, trailers neither. */
  onPayload(bytes: Buffer, start: number, end: number, last: boolean): void;
  /** The payload has ended before these: lines with their CRLF. */
  onTrailerLines(lines: Buffer): void;
}

const CR = 13;
const LF = 10;
const NONE = Buffer.alloc(0);

const SIZE = 0;
/** To the end of the line that has the size. */
const EXTENSION = 1;
const DATA = 2;
/** CRLF after a chunk. */
const AFTER_DATA = 3;
const TRAILER_START = 4;
const TRAILER = 5;
const LAST_LF = 6;

export class Payload {
  #kind: BodyKind = "none";
  #remaining = 0;
  #state = SIZE;
  /** Of trailers that came in several pieces. */
  #trailers: Buffer[] = [];

  begin({ bodyKind, contentLength }: Head): void {
    this.#kind = bodyKind;
    this.#remaining = bodyKind === "length" ? contentLength : 0;
    this.#state = SIZE;
    this.#trailers = [];
  }

  /** Takes `bytes[start, end)`, all of which belong to the body. `sink` may give up in between: nothing is told to it then. */
  feed(bytes: Buffer, start: number, end: number, sink: PayloadSink): void {
    if (this.#kind === "chunked") this.#chunks(bytes, start, end, sink);
    else if (this.#kind === "length") {
      this.#remaining -= end - start;
      if (start < end) sink.onPayload(bytes, start, end, this.#remaining === 0);
    } else if (this.#kind === "close" && start < end) sink.onPayload(bytes, start, end, false);
  }

  /** Nothing more of this body is of interest. */
  stop(): void {
    this.#kind = "none";
  }

  /** A body that ends with its connection has ended. */
  end(sink: PayloadSink): void {
    if (this.#kind === "close") sink.onPayload(NONE, 0, 0, true);
  }

  #chunks(bytes: Buffer, at: number, end: number, sink: PayloadSink): void {
    // A chunk waits for what follows it: the last one says so.
    let from = 0;
    let to = 0;
    let trailersFrom = at;
    while (at < end) {
      switch (this.#state) {
        case SIZE: {
          const digit = hexDigit(bytes[at]!);
          if (digit < 0) this.#state = EXTENSION;
          else {
            this.#remaining = this.#remaining * 16 + digit;
            at++;
          }
          break;
        }
        case EXTENSION:
          if (bytes[at++] !== LF) break;
          trailersFrom = at;
          this.#state = this.#remaining === 0 ? TRAILER_START : DATA;
          break;
        case DATA: {
          if (from < to) sink.onPayload(bytes, from, to, false);
          if (this.#kind !== "chunked") return;
          from = at;
          to = Math.min(end, at + this.#remaining);
          this.#remaining -= to - from;
          at = to;
          if (this.#remaining === 0) this.#state = AFTER_DATA;
          break;
        }
        case AFTER_DATA:
          if (bytes[at++] === LF) this.#state = SIZE;
          break;
        case TRAILER_START:
          this.#state = bytes[at] === CR ? LAST_LF : TRAILER;
          if (this.#state === LAST_LF) {
            if (trailersFrom < at) this.#trailers.push(Buffer.from(bytes.subarray(trailersFrom, at)));
            trailersFrom = end;
          }
          at++;
          break;
        case TRAILER:
          if (bytes[at++] === LF) this.#state = TRAILER_START;
          break;
        default:
          this.#finish(bytes, from, to, sink);
          return;
      }
    }
    if (this.#state >= TRAILER_START && trailersFrom < end) {
      this.#trailers.push(Buffer.from(bytes.subarray(trailersFrom, end)));
    }
    if (from < to) sink.onPayload(bytes, from, to, false);
  }

  #finish(bytes: Buffer, from: number, to: number, sink: PayloadSink): void {
    const trailers = this.#trailers;
    if (trailers.length === 0) {
      sink.onPayload(bytes, from, to, true);
      return;
    }
    this.#trailers = [];
    if (from < to) sink.onPayload(bytes, from, to, false);
    if (this.#kind === "chunked") sink.onTrailerLines(trailers.length === 1 ? trailers[0]! : Buffer.concat(trailers));
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
