/** Frames to be written, gathered until their connection is flushed: many make one write, and one TLS record. */
import { FRAME_HEADER_BYTES } from "./protocol.ts";

const CHUNK_BYTES = 16_384 + FRAME_HEADER_BYTES;
const MAX_POOLED = 32;

/** Chunks that nobody writes to at the moment, process-wide. */
const pool: Buffer[] = [];

interface Chunk {
  readonly bytes: Buffer;
  end: number;
}

export class Output {
  #full: Chunk[] = [];
  #chunk: Chunk | undefined;
  #waiting = 0;

  /** Bytes that wait. */
  get size(): number {
    return this.#waiting + (this.#chunk?.end ?? 0);
  }

  /** The buffer where `bytes` may be written from {@link at} on; {@link advance} says how many were. */
  room(bytes: number): Buffer {
    let chunk = this.#chunk;
    if (chunk !== undefined && chunk.bytes.length - chunk.end >= bytes) return chunk.bytes;
    if (chunk !== undefined) {
      this.#full.push(chunk);
      this.#waiting += chunk.end;
    }
    const buffer =
      bytes <= CHUNK_BYTES ? (pool.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES)) : Buffer.allocUnsafeSlow(bytes);
    chunk = { bytes: buffer, end: 0 };
    this.#chunk = chunk;
    return chunk.bytes;
  }

  get at(): number {
    return this.#chunk?.end ?? 0;
  }

  advance(bytes: number): void {
    if (this.#chunk !== undefined) this.#chunk.end += bytes;
  }

  /** Passes on what waits, in order; the bytes may be reused when `write` has returned. */
  flush(write: (bytes: Buffer, start: number, end: number) => void): void {
    const chunks = this.#full;
    if (this.#chunk !== undefined) chunks.push(this.#chunk);
    this.#full = [];
    this.#chunk = undefined;
    this.#waiting = 0;
    for (const { bytes, end } of chunks) {
      if (end > 0) write(bytes, 0, end);
      if (bytes.length === CHUNK_BYTES && pool.length < MAX_POOLED) pool.push(bytes);
    }
  }

  /** Copies `bytes[start, end)`. */
  bytes(bytes: Buffer, start: number, end: number): void {
    bytes.copy(this.room(end - start), this.at, start, end);
    this.advance(end - start);
  }
}
