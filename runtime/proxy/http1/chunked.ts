/** Finds the end of a chunked body in a stream of bytes that are forwarded as they are (RFC 9112, 7.1). */

const CR = 13;
const LF = 10;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER_START = 6;
const TRAILER = 7;
const TRAILER_LF = 8;
const END_LF = 9;

/** 13 hex digits are exact in a double, and more than any body. */
const MAX_SIZE_DIGITS = 13;
/** Extensions and trailers are never longer than a head may be. */
const MAX_LINE_BYTES = 65_536;

export class ChunkedBody {
  #state = SIZE;
  #remaining = 0;
  #digits = 0;
  #lineBytes = 0;
  done = false;
  malformed = false;

  reset(): void {
    this.#state = SIZE;
    this.#remaining = 0;
    this.#digits = 0;
    this.#lineBytes = 0;
    this.done = false;
    this.malformed = false;
  }

  /** Advances over `bytes[at, end)`. @returns where it stopped: `end`, just past the body (`done`), or at what is `malformed` */
  advance(bytes: Buffer, at: number, end: number): number {
    while (at < end) {
      const byte = bytes[at] as number;
      switch (this.#state) {
        case SIZE: {
          const digit = hexDigit(byte);
          if (digit >= 0) {
            if (++this.#digits > MAX_SIZE_DIGITS) return this.#refuse(at);
            this.#remaining = this.#remaining * 16 + digit;
          } else if (this.#digits === 0) return this.#refuse(at);
          else if (byte === CR) this.#state = SIZE_LF;
          else if (byte === 59 || byte === 32 || byte === 9) this.#state = EXTENSION;
          else return this.#refuse(at);
          at++;
          break;
        }
        case EXTENSION:
          if (byte === CR) this.#state = SIZE_LF;
          else if (byte === LF || ++this.#lineBytes > MAX_LINE_BYTES) return this.#refuse(at);
          at++;
          break;
        case SIZE_LF:
          if (byte !== LF) return this.#refuse(at);
          this.#state = this.#remaining === 0 ? TRAILER_START : DATA;
          this.#digits = 0;
          this.#lineBytes = 0;
          at++;
          break;
        case DATA: {
          const here = Math.min(end - at, this.#remaining);
          this.#remaining -= here;
          at += here;
          if (this.#remaining === 0) this.#state = DATA_CR;
          break;
        }
        case DATA_CR:
          if (byte !== CR) return this.#refuse(at);
          this.#state = DATA_LF;
          at++;
          break;
        case DATA_LF:
          if (byte !== LF) return this.#refuse(at);
          this.#state = SIZE;
          at++;
          break;
        case TRAILER_START:
          if (byte === LF) return this.#refuse(at);
          this.#state = byte === CR ? END_LF : TRAILER;
          at++;
          break;
        case TRAILER:
          if (byte === CR) this.#state = TRAILER_LF;
          else if (byte === LF || ++this.#lineBytes > MAX_LINE_BYTES) return this.#refuse(at);
          at++;
          break;
        case TRAILER_LF:
          if (byte !== LF) return this.#refuse(at);
          this.#state = TRAILER_START;
          at++;
          break;
        default:
          if (byte !== LF) return this.#refuse(at);
          this.done = true;
          return at + 1;
      }
    }
    return at;
  }

  #refuse(at: number): number {
    this.malformed = true;
    return at;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
