import { ChunkedBody } from "./chunked.ts";
import type { BodyKind, Head } from "./head.ts";

/** Where one message's body is, of whatever kind: fed with bytes, it says how many belong to it and when it is over. */
export class Body {
  kind: BodyKind = "none";
  #remaining = 0;
  #chunks: ChunkedBody | undefined;
  done = true;
  malformed = false;

  begin(head: Head): void {
    this.kind = head.bodyKind;
    this.malformed = false;
    this.done = head.bodyKind === "none";
    if (head.bodyKind === "length") this.#remaining = head.contentLength;
    else if (head.bodyKind === "chunked") {
      this.#chunks ??= new ChunkedBody();
      this.#chunks.reset();
    }
  }

  /** @returns the end of the body's bytes within `bytes[at, end)` */
  advance(bytes: Buffer, at: number, end: number): number {
    switch (this.kind) {
      case "none":
        return at;
      case "length": {
        const here = Math.min(end - at, this.#remaining);
        this.#remaining -= here;
        this.done = this.#remaining === 0;
        return at + here;
      }
      case "chunked": {
        const chunks = this.#chunks as ChunkedBody;
        const stop = chunks.advance(bytes, at, end);
        this.done = chunks.done;
        this.malformed = chunks.malformed;
        return stop;
      }
      default:
        return end;
    }
  }
}
