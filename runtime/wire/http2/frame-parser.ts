/**
 * Cuts a stream of bytes into frames (RFC 9113, 4 and 6), however the bytes come. Payloads are passed on where they lie: DATA
 * in pieces as they come, header blocks and control frames whole, copied only where a read ended inside one. What a frame says
 * by itself is checked here; what depends on the state of streams is its handler's matter.
 */
import type { FrameHandler } from "./frame-handler.ts";
import { HeaderBlockAssembly } from "./header-block-assembly.ts";
import { errorCode, FRAME_HEADER_BYTES, flag, frameType, Http2Error, MIN_FRAME_BYTES, PREFACE } from "./protocol.ts";

export interface FrameParserOptions {
  /** Our SETTINGS_MAX_FRAME_SIZE. */
  readonly maxFrameBytes?: number;
  /** A header block, HEADERS with its CONTINUATIONs, coded. */
  readonly maxHeaderBlockBytes: number;
  /** Whether a client's preface comes first. */
  readonly preface: boolean;
}

const IN_PREFACE = 0;
const IN_HEADER = 1;
const IN_DATA = 2;
const IN_PADDING = 3;
const IN_PAYLOAD = 4;
const IN_SKIPPED = 5;
const STOPPED = 6;
type State =
  | typeof IN_PREFACE
  | typeof IN_HEADER
  | typeof IN_DATA
  | typeof IN_PADDING
  | typeof IN_PAYLOAD
  | typeof IN_SKIPPED
  | typeof STOPPED;

export class FrameParser {
  readonly #handler: FrameHandler;
  readonly #maxFrameBytes: number;
  readonly #block: HeaderBlockAssembly;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #state: State;
  /** Bytes of the preface, of #header or of #held that are there. */
  #filled = 0;
  #settled = false;
  /** Header blocks that have begun. */
  #blocks = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Payload bytes not seen yet; of DATA without padding. */
  #left = 0;
  #padding = 0;
  #padKnown = true;
  #held: Buffer | undefined;

  constructor(handler: FrameHandler, options: FrameParserOptions) {
    this.#handler = handler;
    this.#maxFrameBytes = options.maxFrameBytes ?? MIN_FRAME_BYTES;
    this.#block = new HeaderBlockAssembly(options.maxHeaderBlockBytes);
    this.#state = options.preface ? IN_PREFACE : IN_HEADER;
  }

  /** Of the preface, or the header block, that has begun and is not whole: its number, none of which is 0. 0: there is none */
  get unfinished(): number {
    if (this.#state === IN_PREFACE) return -1;
    const within = this.#state === IN_PAYLOAD && this.#type === frameType.headers;
    return within || this.#block.open ? this.#blocks : 0;
  }

  /** Nothing more is told, of what {@link feed} was given neither. */
  stop(): void {
    this.#state = STOPPED;
    this.#held = undefined;
    this.#block.clear();
  }

  /** Takes `bytes[start, end)`. @throws Http2Error, HpackError: the connection is in error */
  feed(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      switch (this.#state) {
        case IN_PREFACE:
          at = this.#preface(bytes, at, end);
          break;
        case IN_HEADER:
          at = this.#frameHeader(bytes, at, end);
          break;
        case IN_DATA:
          at = this.#data(bytes, at, end);
          break;
        case IN_PADDING:
          at = this.#skip(at, end);
          break;
        case IN_PAYLOAD:
          at = this.#payload(bytes, at, end);
          break;
        case IN_SKIPPED:
          at = this.#skip(at, end);
          break;
        default:
          return;
      }
    }
  }

  #preface(bytes: Buffer, at: number, end: number): number {
    while (at < end && this.#filled < PREFACE.length) {
      if (bytes[at++] !== PREFACE[this.#filled++]) throw protocolError("no HTTP/2 preface (RFC 9113, 3.4)");
    }
    if (this.#filled === PREFACE.length) {
      this.#filled = 0;
      this.#state = IN_HEADER;
    }
    return at;
  }

  #frameHeader(bytes: Buffer, at: number, end: number): number {
    if (this.#filled === 0 && end - at >= FRAME_HEADER_BYTES) {
      this.#begin(bytes, at);
      return at + FRAME_HEADER_BYTES;
    }
    const take = Math.min(FRAME_HEADER_BYTES - this.#filled, end - at);
    bytes.copy(this.#header, this.#filled, at, at + take);
    this.#filled += take;
    if (this.#filled === FRAME_HEADER_BYTES) {
      this.#filled = 0;
      this.#begin(this.#header, 0);
    }
    return at + take;
  }

  #begin(bytes: Buffer, at: number): void {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    const type = bytes[at + 3]!;
    this.#type = type;
    this.#flags = bytes[at + 4]!;
    this.#streamId = ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    if (length > this.#maxFrameBytes) throw sizeError(`a frame of ${length} bytes (RFC 9113, 4.2)`);
    if (!this.#settled) {
      if (type !== frameType.settings || (this.#flags & flag.ack) !== 0) {
        throw protocolError("the first frame is not SETTINGS (RFC 9113, 3.4)");
      }
      this.#settled = true;
    }
    if (this.#block.open !== (type === frameType.continuation)) {
      throw protocolError(
        this.#block.open ? "another frame inside a header block" : "CONTINUATION without HEADERS (RFC 9113, 6.10)",
      );
    }
    this.#left = length;
    if (type === frameType.data) this.#beginData(length);
    else if (type > frameType.continuation) {
      this.#handler.onIgnored();
      this.#enter(length > 0 ? IN_SKIPPED : IN_HEADER);
    } else {
      this.#checkPlace();
      if (type === frameType.headers) this.#blocks++;
      if (length === 0) this.#whole(bytes, at, at);
      else this.#enter(IN_PAYLOAD);
    }
  }

  /** Stopping is final, also from within a handler's call. */
  #enter(state: State): void {
    if (this.#state !== STOPPED) this.#state = state;
  }

  #beginData(length: number): void {
    if (this.#streamId === 0) throw protocolError("DATA on stream 0 (RFC 9113, 6.1)");
    const padded = (this.#flags & flag.padded) !== 0;
    if (padded && length === 0) throw sizeError("padded DATA without its padding's length (RFC 9113, 6.1)");
    this.#padding = 0;
    this.#padKnown = !padded;
    this.#handler.onDataFrame(this.#streamId, length);
    this.#enter(IN_DATA);
    if (length === 0) this.#endOfData(this.#header, 0, 0);
  }

  #data(bytes: Buffer, at: number, end: number): number {
    if (!this.#padKnown) {
      this.#padKnown = true;
      this.#padding = bytes[at++]!;
      this.#left -= 1 + this.#padding;
      if (this.#left < 0) throw protocolError("padding longer than its frame (RFC 9113, 6.1)");
      if (this.#left === 0) this.#endOfData(bytes, at, at);
      return at;
    }
    const take = Math.min(this.#left, end - at);
    this.#left -= take;
    if (this.#left === 0) this.#endOfData(bytes, at, at + take);
    else this.#handler.onData(this.#streamId, bytes, at, at + take, false, false);
    return at + take;
  }

  #endOfData(bytes: Buffer, start: number, end: number): void {
    this.#left = this.#padding;
    this.#enter(this.#padding > 0 ? IN_PADDING : IN_HEADER);
    this.#handler.onData(this.#streamId, bytes, start, end, true, (this.#flags & flag.endStream) !== 0);
  }

  #skip(at: number, end: number): number {
    const take = Math.min(this.#left, end - at);
    this.#left -= take;
    if (this.#left === 0) this.#enter(IN_HEADER);
    return at + take;
  }

  #payload(bytes: Buffer, at: number, end: number): number {
    const there = end - at;
    if (this.#held === undefined && there >= this.#left) {
      const next = at + this.#left;
      this.#whole(bytes, at, next);
      return next;
    }
    this.#held ??= Buffer.allocUnsafeSlow(this.#left);
    const take = Math.min(there, this.#left - this.#filled);
    bytes.copy(this.#held, this.#filled, at, at + take);
    this.#filled += take;
    if (this.#filled === this.#left) {
      const held = this.#held;
      this.#held = undefined;
      this.#filled = 0;
      this.#whole(held, 0, held.length);
    }
    return at + take;
  }

  /** Whether the frame may be on that stream at all, and has its length (6). */
  #checkPlace(): void {
    const length = this.#left;
    const onStream = this.#streamId !== 0;
    switch (this.#type) {
      case frameType.headers:
      case frameType.continuation:
        if (!onStream) throw protocolError("HEADERS on stream 0 (RFC 9113, 6.2)");
        break;
      case frameType.priority:
        if (!onStream) throw protocolError("PRIORITY on stream 0 (RFC 9113, 6.3)");
        if (length !== 5) throw sizeError("PRIORITY (RFC 9113, 6.3)");
        break;
      case frameType.resetStream:
        if (!onStream) throw protocolError("RST_STREAM on stream 0 (RFC 9113, 6.4)");
        if (length !== 4) throw sizeError("RST_STREAM (RFC 9113, 6.4)");
        break;
      case frameType.settings:
        if (onStream) throw protocolError("SETTINGS on a stream (RFC 9113, 6.5)");
        if (length % 6 !== 0 || ((this.#flags & flag.ack) !== 0 && length !== 0)) {
          throw sizeError("SETTINGS (RFC 9113, 6.5)");
        }
        break;
      case frameType.pushPromise:
        throw protocolError("PUSH_PROMISE, which nobody allowed (RFC 9113, 8.4)");
      case frameType.ping:
        if (onStream) throw protocolError("PING on a stream (RFC 9113, 6.7)");
        if (length !== 8) throw sizeError("PING (RFC 9113, 6.7)");
        break;
      case frameType.goAway:
        if (onStream) throw protocolError("GOAWAY on a stream (RFC 9113, 6.8)");
        if (length < 8) throw sizeError("GOAWAY (RFC 9113, 6.8)");
        break;
      case frameType.windowUpdate:
        if (length !== 4) throw sizeError("WINDOW_UPDATE (RFC 9113, 6.9)");
        break;
    }
  }

  /** A frame other than DATA, whole. */
  #whole(bytes: Buffer, start: number, end: number): void {
    this.#enter(IN_HEADER);
    const handler = this.#handler;
    const streamId = this.#streamId;
    const ack = (this.#flags & flag.ack) !== 0;
    switch (this.#type) {
      case frameType.headers:
      case frameType.continuation:
        if (this.#block.take(this.#type, this.#flags, streamId, bytes, start, end)) {
          this.#block.deliver(handler, streamId);
        }
        break;
      case frameType.priority:
        handler.onIgnored();
        if ((bytes.readUInt32BE(start) & 0x7fffffff) === streamId) {
          throw protocolError("a stream that depends on itself (RFC 7540, 5.3.1)");
        }
        break;
      case frameType.resetStream:
        handler.onReset(streamId, bytes.readUInt32BE(start));
        break;
      case frameType.settings:
        if (ack) handler.onSettingsAck();
        else handler.onSettings(bytes, start, end);
        break;
      case frameType.ping:
        handler.onPing(bytes, start, ack);
        break;
      case frameType.goAway:
        handler.onGoAway(bytes.readUInt32BE(start) & 0x7fffffff, bytes.readUInt32BE(start + 4), bytes, start + 8, end);
        break;
      case frameType.windowUpdate:
        handler.onWindowUpdate(streamId, bytes.readUInt32BE(start) & 0x7fffffff);
        break;
    }
  }
}

function protocolError(problem: string): Http2Error {
  return new Http2Error(errorCode.protocolError, problem);
}

function sizeError(problem: string): Http2Error {
  return new Http2Error(errorCode.frameSizeError, problem);
}
