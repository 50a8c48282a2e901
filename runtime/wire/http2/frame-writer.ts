/** Writes frames (RFC 9113, 4 and 6) into the output of a connection. */
import { HpackEncoder } from "../hpack/encoder.ts";
import type { HeaderField } from "../hpack/field.ts";
import { Output } from "./output.ts";
import { FRAME_HEADER_BYTES, flag, frameType, PREFACE } from "./protocol.ts";
import { encodeSettings, type Settings } from "./settings.ts";

/** What a GOAWAY says beyond its code, bytes. */
const MAX_REASON_BYTES = 256;

export class FrameWriter {
  readonly #output = new Output();

  /** Bytes that wait. */
  get size(): number {
    return this.#output.size;
  }

  flush(write: (bytes: Buffer, start: number, end: number) => void): void {
    this.#output.flush(write);
  }

  /** What an end sends first (3.4). */
  begin(role: "client" | "server", settings: Readonly<Settings>): void {
    if (role === "client") this.#output.bytes(PREFACE, 0, PREFACE.length);
    const payload = encodeSettings(settings, role);
    this.#frame(frameType.settings, 0, 0, payload, 0, payload.length);
  }

  /** A header block, in as many frames as it takes. */
  headers(
    encoder: HpackEncoder,
    streamId: number,
    fields: readonly HeaderField[],
    endStream: boolean,
    maxFrameBytes: number,
  ): void {
    const ends = endStream ? flag.endStream : 0;
    const bound = HpackEncoder.bound(fields);
    if (bound <= maxFrameBytes) {
      const out = this.#output.room(FRAME_HEADER_BYTES + bound);
      const { at } = this.#output;
      const start = at + FRAME_HEADER_BYTES;
      const end = encoder.encode(fields, out, start);
      writeFrameHeader(out, at, end - start, frameType.headers, flag.endHeaders | ends, streamId);
      this.#output.advance(end - at);
      return;
    }
    const block = Buffer.allocUnsafe(bound);
    const end = encoder.encode(fields, block, 0);
    for (let at = 0; at === 0 || at < end; at += maxFrameBytes) {
      const next = Math.min(end, at + maxFrameBytes);
      const flags = (at === 0 ? ends : 0) | (next === end ? flag.endHeaders : 0);
      this.#frame(at === 0 ? frameType.headers : frameType.continuation, flags, streamId, block, at, next);
    }
  }

  data(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean, maxFrameBytes: number): void {
    do {
      const next = Math.min(end, start + maxFrameBytes);
      this.#frame(frameType.data, endStream && next === end ? flag.endStream : 0, streamId, bytes, start, next);
      start = next;
    } while (start < end);
  }

  reset(streamId: number, code: number): void {
    this.#number(frameType.resetStream, streamId, code);
  }

  settingsAck(): void {
    this.#frame(frameType.settings, flag.ack, 0, PREFACE, 0, 0);
  }

  /** With the payload `bytes[start, start + 8)`. */
  ping(bytes: Buffer, start: number, ack: boolean): void {
    this.#frame(frameType.ping, ack ? flag.ack : 0, 0, bytes, start, start + 8);
  }

  goAway(lastStreamId: number, code: number, reason: string): void {
    const debug = Buffer.from(reason).subarray(0, MAX_REASON_BYTES);
    const payload = Buffer.alloc(8 + debug.length);
    payload.writeUInt32BE(lastStreamId, 0);
    payload.writeUInt32BE(code, 4);
    debug.copy(payload, 8);
    this.#frame(frameType.goAway, 0, 0, payload, 0, payload.length);
  }

  /** @param streamId 0 for the connection */
  windowUpdate(streamId: number, increment: number): void {
    this.#number(frameType.windowUpdate, streamId, increment);
  }

  #frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const out = this.#output.room(FRAME_HEADER_BYTES + length);
    const { at } = this.#output;
    writeFrameHeader(out, at, length, type, flags, streamId);
    bytes.copy(out, at + FRAME_HEADER_BYTES, start, end);
    this.#output.advance(FRAME_HEADER_BYTES + length);
  }

  #number(type: number, streamId: number, value: number): void {
    const out = this.#output.room(FRAME_HEADER_BYTES + 4);
    const { at } = this.#output;
    writeFrameHeader(out, at, 4, type, 0, streamId);
    out.writeUInt32BE(value, at + FRAME_HEADER_BYTES);
    this.#output.advance(FRAME_HEADER_BYTES + 4);
  }
}

/** The nine bytes before a payload (4.1). */
function writeFrameHeader(
  out: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  out[at] = length >> 16;
  out[at + 1] = length >> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flags;
  out[at + 5] = streamId >> 24;
  out[at + 6] = streamId >> 16;
  out[at + 7] = streamId >> 8;
  out[at + 8] = streamId;
}
