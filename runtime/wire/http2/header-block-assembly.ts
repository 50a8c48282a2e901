/** HEADERS and its CONTINUATIONs as one header block (RFC 9113, 4.3, 6.2 and 6.10): where it lies when one frame has all of it. */
import type { FrameHandler } from "./frame-handler.ts";
import { errorCode, flag, frameType, Http2Error } from "./protocol.ts";

/** Frames of one block. Nobody needs more; a flood of small ones costs its sender less than us. */
const MAX_CONTINUATIONS = 32;
const PRIORITY_BYTES = 5;

export class HeaderBlockAssembly {
  readonly #maxBytes: number;
  /** Between HEADERS and the CONTINUATION with END_HEADERS. */
  open = false;
  #streamId = 0;
  #endStream = false;
  #continuations = 0;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns whether the block is complete. @throws Http2Error */
  take(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): boolean {
    if (type === frameType.headers) [start, end] = this.#begin(flags, streamId, bytes, start, end);
    else {
      if (streamId !== this.#streamId) {
        throw new Http2Error(errorCode.protocolError, "CONTINUATION of another stream (RFC 9113, 6.10)");
      }
      if (++this.#continuations > MAX_CONTINUATIONS) {
        throw new Http2Error(errorCode.enhanceYourCalm, `more than ${MAX_CONTINUATIONS} CONTINUATIONs of one block`);
      }
    }
    this.#pieceBytes += end - start;
    if (this.#pieceBytes > this.#maxBytes) {
      throw new Http2Error(errorCode.enhanceYourCalm, `a header block of more than ${this.#maxBytes} bytes`);
    }
    this.open = (flags & flag.endHeaders) === 0;
    if (this.open || this.#pieces.length > 0) this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
    if (this.open) return false;
    if (this.#pieces.length > 0) {
      this.#bytes = Buffer.concat(this.#pieces);
      this.#start = 0;
      this.#end = this.#bytes.length;
      this.#pieces = [];
    } else {
      this.#bytes = bytes;
      this.#start = start;
      this.#end = end;
    }
    return true;
  }

  deliver(handler: FrameHandler, streamId: number): void {
    handler.onHeaderBlock(streamId, this.#bytes, this.#start, this.#end, this.#endStream);
  }

  clear(): void {
    this.#pieces = [];
    this.#bytes = Buffer.alloc(0);
  }

  /** @returns where the fragment lies between padding and priority */
  #begin(flags: number, streamId: number, bytes: Buffer, start: number, end: number): [start: number, end: number] {
    this.#streamId = streamId;
    this.#endStream = (flags & flag.endStream) !== 0;
    this.#continuations = 0;
    this.#pieceBytes = 0;
    let padding = 0;
    if ((flags & flag.padded) !== 0) {
      if (start === end) throw new Http2Error(errorCode.frameSizeError, "padded HEADERS without its padding's length");
      padding = bytes[start++]!;
    }
    if ((flags & flag.priority) !== 0) {
      if (end - start < PRIORITY_BYTES) throw new Http2Error(errorCode.frameSizeError, "HEADERS (RFC 9113, 6.2)");
      if ((bytes.readUInt32BE(start) & 0x7fffffff) === streamId) {
        throw new Http2Error(errorCode.protocolError, "a stream that depends on itself (RFC 7540, 5.3.1)");
      }
      start += PRIORITY_BYTES;
    }
    if (padding > end - start) {
      throw new Http2Error(errorCode.protocolError, "padding longer than its frame (RFC 9113, 6.2)");
    }
    return [start, end - padding];
  }
}
