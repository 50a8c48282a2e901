/** Puts together what is written: a head's forwarded ranges, lines added to it, and the body's bytes that came with it. */
import { composeBuffer } from "../transport/handle-stream.ts";
import { copyHead, type Head } from "./head.ts";

/** `bytes[from, to)`, to be written before anything else is composed. */
export class Outbox {
  bytes: Buffer = composeBuffer();
  from = 0;
  to = 0;

  /**
   * The head at `buffer[start, head.end)` with `lines` added, then `buffer[head.end, bodyEnd)`.
   * Where nothing was cut out and nothing is added, that is the buffer itself.
   */
  message(buffer: Buffer, start: number, head: Head, lines: Buffer, more: Buffer, bodyEnd: number): void {
    const headEnd = head.end;
    const { ranges } = head;
    if (lines.length === 0 && more.length === 0 && head.rangeCount === 1) {
      if (ranges[0] === start && ranges[1] === headEnd - 2) {
        this.bytes = buffer;
        this.from = start;
        this.to = bodyEnd;
        return;
      }
    }
    const out = room(headEnd - start + lines.length + more.length + bodyEnd - headEnd);
    let at = copyHead(buffer, head, out, 0);
    if (lines.length > 0) at += lines.copy(out, at);
    if (more.length > 0) at += more.copy(out, at);
    out[at++] = 13;
    out[at++] = 10;
    if (bodyEnd > headEnd) at += buffer.copy(out, at, headEnd, bodyEnd);
    this.bytes = out;
    this.from = 0;
    this.to = at;
  }

  /** The same, with `edited` in the head's place. */
  edited(edited: Buffer, buffer: Buffer, head: Head, lines: Buffer, more: Buffer, bodyEnd: number): void {
    const all = [edited, lines, more, CRLF, buffer.subarray(head.end, bodyEnd)];
    this.bytes = Buffer.concat(all);
    this.from = 0;
    this.to = this.bytes.length;
  }
}

const CRLF = Buffer.from("\r\n");

function room(bytes: number): Buffer {
  const buffer = composeBuffer();
  return bytes <= buffer.length ? buffer : Buffer.allocUnsafe(bytes);
}
