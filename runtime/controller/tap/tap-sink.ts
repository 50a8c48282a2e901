/** The stream to whoever taps: frames, bounded. What does not fit is dropped whole requests at a time, and counted. */
import { TapEvent } from "../../api/gen/viz_tap.ts";
import { noticeEvent } from "./tap-event.ts";

/** Where the frames go. */
export interface FrameWriter {
  readonly pendingBytes: number;
  write(frame: Uint8Array): void;
}

/** Beyond this no new request is begun. */
const FULL_BYTES = 256 * 1024;
/** Requests that were begun end, but not beyond this. */
const OVERFLOW_BYTES = 1024 * 1024;
const TELL_EVERY_MS = 1_000;

export class TapSink {
  readonly #writer: FrameWriter;
  #dropped = 0;
  #told = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(writer: FrameWriter) {
    this.#writer = writer;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** @returns false where there is no room for this event */
  send(event: TapEvent): boolean {
    const begins = event.event?.value.event?.$case === "requestInit";
    if (this.#writer.pendingBytes > (begins ? FULL_BYTES : OVERFLOW_BYTES)) {
      this.#dropped++;
      return false;
    }
    this.#tellDropped();
    this.#write(event);
    return true;
  }

  notice(text: string): void {
    if (this.#writer.pendingBytes <= OVERFLOW_BYTES) this.#write(noticeEvent(text));
  }

  #tellDropped(): void {
    const now = performance.now();
    if (this.#dropped === this.#told || now - this.#toldAt < TELL_EVERY_MS) return;
    const more = this.#dropped - this.#told;
    this.#told = this.#dropped;
    this.#toldAt = now;
    this.notice(`${more} events were dropped: they came faster than they were read`);
  }

  #write(event: TapEvent): void {
    this.#writer.write(frame(TapEvent.encode(event).finish()));
  }
}

/** [uint32 little-endian length][message] */
export function frame(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(4 + message.length);
  bytes.writeUInt32LE(message.length);
  bytes.set(message, 4);
  return bytes;
}
