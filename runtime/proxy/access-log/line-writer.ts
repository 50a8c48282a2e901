/** Lines to a file descriptor, many at once and never waited for: whoever reads slowly loses lines, and is told how many. */
import { write, writeSync } from "node:fs";

export interface LineWriterOptions {
  readonly fd: number;
  /** How long a line may wait for others, milliseconds. */
  readonly delayMs?: number;
  /** Characters that may wait. More: lines are lost. */
  readonly maxWaiting?: number;
  /** What is written where lines were lost, with its line feed. */
  readonly lost: (lines: number) => string;
}

const DELAY_MS = 100;
const SOON_CHARACTERS = 32 * 1024;
const MAX_WAITING = 1024 * 1024;
/** The reader of a pipe that takes nothing now (EAGAIN) is asked again so much later. */
const AGAIN_MS = 50;

export class LineWriter {
  readonly #options: LineWriterOptions;
  #waiting = "";
  #lost = 0;
  #timer: NodeJS.Timeout | undefined;
  /** What is being written. */
  #under: Buffer | undefined;
  #closed = false;

  constructor(options: LineWriterOptions) {
    this.#options = options;
  }

  /** @param line with its line feed */
  write(line: string): void {
    if (this.#closed) return;
    if (this.#waiting.length + line.length > (this.#options.maxWaiting ?? MAX_WAITING)) {
      this.#lost++;
      return;
    }
    this.#waiting += line;
    if (this.#under !== undefined) return;
    if (this.#waiting.length >= SOON_CHARACTERS) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), this.#options.delayMs ?? DELAY_MS);
  }

  /** Writes what waits, as far as the reader takes it at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    // What is being written is the thread pool's: writing it once more would double it.
    if (this.#under !== undefined || this.#waiting === "") return;
    try {
      writeSync(this.#options.fd, this.#take());
    } catch {
      // Nobody reads, or the reader is behind: the process ends.
    }
  }

  #take(): Buffer {
    const told = this.#lost === 0 ? "" : this.#options.lost(this.#lost);
    const bytes = Buffer.from(this.#waiting + told, "utf8");
    this.#waiting = "";
    this.#lost = 0;
    return bytes;
  }

  #flush(): void {
    this.#timer = undefined;
    if (this.#closed || this.#waiting === "") return;
    this.#under = this.#take();
    this.#writeOn(this.#under);
  }

  #writeOn(bytes: Buffer): void {
    write(this.#options.fd, bytes, (error, written) => {
      if (error?.code === "EAGAIN") {
        if (!this.#closed) this.#timer = setTimeout(() => this.#writeOn(bytes), AGAIN_MS);
        return;
      }
      // Nobody will ever read (EPIPE): what comes later is tried all the same.
      if (error === null && written < bytes.length) {
        this.#writeOn(bytes.subarray(written));
        return;
      }
      this.#under = undefined;
      if (this.#waiting !== "" && !this.#closed) this.#flush();
    });
  }
}
