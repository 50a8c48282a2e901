/** A connection in memory: what one end writes, the other reads later, in pieces of sizes that a test chooses. */
import { type ByteStream, nobody, type StreamOwner } from "../../../../runtime/proxy/transport/stream.ts";

/** Bytes of the next piece; called for each. */
export type Sizes = () => number;

type Item = Buffer | "end" | "close" | "reset";

let underWay = 0;

/** Resolves when nothing more is about to be read, by whatever pair. */
export async function atRest(): Promise<void> {
  for (let quiet = 0; quiet < 8; quiet++) {
    await new Promise(setImmediate);
    if (underWay > 0) quiet = 0;
  }
}

export class PairedStream implements ByteStream {
  owner: StreamOwner = nobody;
  /** How it ended; undefined while open. */
  closed: "closed" | "reset" | "lost" | undefined;
  /** The other end has said that it writes no more. */
  endSeen = false;
  /** All that was read, however it was cut. */
  received = "";
  #peer: PairedStream | undefined;
  readonly #sizes: Sizes;
  #coming: Item[] = [];
  #due = false;
  #paused = false;
  #ended = false;

  private constructor(sizes: Sizes) {
    this.#sizes = sizes;
  }

  static make(sizes: Sizes): [PairedStream, PairedStream] {
    const one = new PairedStream(sizes);
    const other = new PairedStream(sizes);
    one.#peer = other;
    other.#peer = one;
    return [one, other];
  }

  get unsent(): boolean {
    return this.#peer !== undefined && this.#peer.#coming.length > 0;
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.closed !== undefined || this.#ended || start === end) return true;
    this.#tell(Buffer.from(buffer.subarray(start, end)));
    return true;
  }

  say(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    this.write(bytes, 0, bytes.length);
  }

  end(): void {
    if (this.#ended || this.closed !== undefined) return;
    this.#ended = true;
    this.#tell("end");
  }

  close(): void {
    this.#finish("closed");
  }

  reset(): void {
    this.#finish("reset");
  }

  #finish(how: "closed" | "reset"): void {
    if (this.closed !== undefined) return;
    this.closed = how;
    this.#tell(how === "reset" ? "reset" : "close");
    this.owner.onClose("");
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliverLater();
  }

  #tell(item: Item): void {
    const peer = this.#peer as PairedStream;
    peer.#coming.push(item);
    peer.#deliverLater();
  }

  #deliverLater(): void {
    if (this.#due || this.#paused || this.closed !== undefined || this.#coming.length === 0) return;
    this.#due = true;
    underWay++;
    setImmediate(() => {
      underWay--;
      this.#due = false;
      this.#deliver();
      this.#deliverLater();
    });
  }

  #deliver(): void {
    const [item] = this.#coming;
    if (item === undefined || this.#paused || this.closed !== undefined) return;
    if (item === "end") {
      this.#coming.shift();
      this.endSeen = true;
      this.owner.onEnd();
      return;
    }
    if (item === "close" || item === "reset") {
      this.#coming.shift();
      this.closed = "lost";
      this.owner.onClose(item === "reset" ? "ECONNRESET" : "");
      return;
    }
    const size = Math.max(1, Math.min(item.length, this.#sizes()));
    if (size === item.length) this.#coming.shift();
    else this.#coming[0] = item.subarray(size);
    this.received += item.toString("latin1", 0, size);
    // As a shared read buffer: other bytes around, overwritten after.
    const buffer = Buffer.concat([Buffer.from("GARBAGE\n"), item.subarray(0, size), Buffer.from("\r\n\r\nGARBAGE")]);
    this.owner.onData(buffer, 8, 8 + size);
    buffer.fill(0x7a);
  }
}
