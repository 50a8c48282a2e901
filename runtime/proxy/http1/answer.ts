/** Writes answers to a client, one after the other: a server's, with what has to be added to them, or the proxy's own. */
import type { HeadEdits } from "../http/route-rule.ts";
import type { TcpSeries } from "../metrics/series.ts";
import { composeBuffer } from "../transport/handle-stream.ts";
import type { ByteStream } from "../transport/stream.ts";
import { editResponseHead } from "./edit-head.ts";
import type { Head } from "./head.ts";
import { Outbox } from "./outbox.ts";

const NOTHING = Buffer.alloc(0);
const CLOSE_LINE = Buffer.from("connection: close\r\n");
const KEEP_ALIVE_LINE = Buffer.from("connection: keep-alive\r\n");
export const UPGRADE_LINE = Buffer.from("connection: upgrade\r\n");
const CHUNKED_LINE = Buffer.from("transfer-encoding: chunked\r\n");
const CRLF = Buffer.from("\r\n");
const LAST_CHUNK = Buffer.from("0\r\n\r\n");

/** Of a status line. */
const MINOR_VERSION = 7;
const ONE = 49;

/** What is around a chunk, and the last one after it. */
const CHUNK_BYTES = 32;

const outbox = new Outbox();

export class Answer {
  readonly #stream: ByteStream;
  readonly #tcp: TcpSeries;
  #chunking = false;
  /** Of the final head, once it is sent; else 0. */
  status = 0;
  /** Of the body. */
  bytes = 0;
  /** Whether the client keeps up: false until what was written is gone. */
  flows = true;

  constructor(stream: ByteStream, tcp: TcpSeries) {
    this.#stream = stream;
    this.#tcp = tcp;
  }

  get begun(): boolean {
    return this.status !== 0;
  }

  reset(): void {
    this.status = 0;
    this.bytes = 0;
    this.#chunking = false;
  }

  interim(bytes: Buffer, start: number, head: Head): void {
    outbox.message(bytes, start, head, NOTHING, NOTHING, head.end);
    this.#writeOutbox();
  }

  /**
   * The final head, and the body's bytes up to `bodyEnd`.
   * @param how `close`: the connection ends with this answer. `oldClient`: it speaks HTTP/1.0. `chunk`: the body has no frame and gets
   *   one. `whole`: nothing of it follows. `edits`: of the route
   * @returns whether the client keeps up
   */
  head(
    bytes: Buffer,
    start: number,
    bodyEnd: number,
    head: Head,
    how: { close: boolean; oldClient: boolean; chunk: boolean; whole: boolean; edits?: HeadEdits | undefined },
  ): boolean {
    this.status = head.status;
    const line =
      head.bodyKind === "tunnel" || head.upgrade
        ? UPGRADE_LINE
        : how.close
          ? CLOSE_LINE
          : how.oldClient
            ? KEEP_ALIVE_LINE
            : NOTHING;
    if (how.chunk) {
      this.#chunking = true;
      this.#compose(bytes, start, head, line, CHUNKED_LINE, head.end, how.edits);
      // HTTP/1.0 knows no chunks: what has them is the proxy's message (RFC 9110, 7.6.3).
      outbox.bytes[outbox.from + MINOR_VERSION] = ONE;
      return this.#writeChunk(outbox.bytes, outbox.from, outbox.to, bytes, head.end, bodyEnd, how.whole);
    }
    this.#compose(bytes, start, head, line, NOTHING, bodyEnd, how.edits);
    this.bytes = bodyEnd - head.end;
    return this.#writeOutbox();
  }

  /** @param whole nothing of it follows */
  body(bytes: Buffer, start: number, end: number, whole: boolean): boolean {
    if (this.#chunking) return this.#writeChunk(NOTHING, 0, 0, bytes, start, end, whole);
    this.bytes += end - start;
    return this.write(bytes, start, end);
  }

  /** `head[headStart, headEnd)` and, as a chunk, `bytes[start, end)`: one write. */
  #writeChunk(
    head: Buffer,
    headStart: number,
    headEnd: number,
    bytes: Buffer,
    start: number,
    end: number,
    whole: boolean,
  ): boolean {
    this.bytes += end - start;
    if (whole) this.#chunking = false;
    const wanted = headEnd - headStart + end - start + CHUNK_BYTES;
    let out = composeBuffer();
    if (wanted > out.length) out = Buffer.allocUnsafe(wanted);
    // The head was composed where it is to be, mostly.
    let at = out === head && headStart === 0 ? headEnd : head.copy(out, 0, headStart, headEnd);
    if (start < end) {
      at += out.write(`${(end - start).toString(16)}\r\n`, at, "latin1");
      at += bytes.copy(out, at, start, end);
      at += CRLF.copy(out, at);
    }
    if (whole) at += LAST_CHUNK.copy(out, at);
    return this.write(out, 0, at);
  }

  /** @param trailers lines with their CRLF, for a body that gets its frame here */
  end(trailers: Buffer = NOTHING): void {
    if (!this.#chunking) return;
    if (trailers.length === 0) {
      this.write(LAST_CHUNK, 0, LAST_CHUNK.length);
      return;
    }
    const last = Buffer.concat([LAST_CHUNK.subarray(0, 3), trailers, CRLF]);
    this.write(last, 0, last.length);
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    this.#tcp.wrote(end - start);
    this.flows = this.#stream.write(bytes, start, end);
    return this.flows;
  }

  #compose(
    bytes: Buffer,
    start: number,
    head: Head,
    line: Buffer,
    more: Buffer,
    bodyEnd: number,
    edits: HeadEdits | undefined,
  ): void {
    if (edits === undefined) outbox.message(bytes, start, head, line, more, bodyEnd);
    else outbox.edited(editResponseHead(bytes, start, head, edits), bytes, head, line, more, bodyEnd);
  }

  #writeOutbox(): boolean {
    return this.write(outbox.bytes, outbox.from, outbox.to);
  }
}
