/** A stream on one of Node's handles: one shared read buffer, writes tried at once, buffers handed over only when they must wait. */
import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import {
  END_OF_STREAM,
  type Internals,
  type StreamHandle,
  type TcpHandle,
  type WriteRequest,
} from "./node-internals.ts";
import { resetTls } from "./reset-tls.ts";
import type { ByteStream, StreamOwner } from "./stream.ts";
import { Backlog, giveBackWriteBuffer, takeWriteBuffer, WRITE_BYTES } from "./write-buffers.ts";

const READ_BYTES = 65_536;
/** How much may pile up behind a TLS write before the writer is held back. */
const TLS_QUEUE_BYTES = 65_536;

const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
/** What a write is composed in; handed over to a write that cannot finish at once. */
let composing: Buffer = takeWriteBuffer();

export class HandleStream implements ByteStream {
  owner: StreamOwner;
  readonly #internals: Internals;
  readonly #handle: StreamHandle;
  /** The TLSSocket around a TLS handle: its close and error events still matter. */
  readonly #socket: Socket | undefined;
  /** The TCP socket under it. */
  readonly #under: Socket | undefined;
  #idleRequest: WriteRequest | undefined;
  #pending = 0;
  readonly #backlog = new Backlog();
  /** What waits is sent at the end of the loop's turn, if not before. */
  #gathering = false;
  #ending = false;
  #shutdownDone = false;
  #wantsDrain = false;
  #paused = false;
  #closed = false;
  #readEnded = false;
  /** What came while nobody was to hear of it; undefined: nothing. A TLS handle decrypts what it has, paused or not. */
  #held: Buffer[] | undefined;
  #endHeld = false;

  constructor(
    internals: Internals,
    handle: StreamHandle,
    owner: StreamOwner,
    tls: { socket: Socket; under: Socket } | undefined,
  ) {
    this.owner = owner;
    this.#internals = internals;
    this.#handle = handle;
    this.#socket = tls?.socket;
    this.#under = tls?.under;
    handle.weft = this;
    handle.onread = onRead;
    if (tls === undefined) return;
    const { socket } = tls;
    let code = "";
    // `error` is always followed by `close`, which tells the owner.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      code = error.code ?? "EPROTO";
    });
    // It may have seen the end before it was adopted; what it had read comes first.
    socket.on("end", () => {
      if (this.#held === undefined && !this.#paused) this.#onEnd();
      else this.#endHeld = true;
    });
    socket.on("finish", () => this.#onShutdown());
    socket.on("close", () => this.#onClosed(code));
  }

  start(): void {
    this.#handle.useUserBuffer(readBuffer);
    if (!this.#paused) this.#handle.readStart();
  }

  /** Starts with bytes that are there already; not within adopt, whose caller has no stream yet. */
  startWith(early: Buffer[]): void {
    this.#held = early;
    this.#handle.useUserBuffer(readBuffer);
    setImmediate(() => this.#deliverHeld());
  }

  #deliverHeld(): void {
    const held = this.#held;
    if (held === undefined || this.#closed || this.#paused) return;
    this.#held = undefined;
    const bytes = held.length === 1 ? (held[0] as Buffer) : Buffer.concat(held);
    if (bytes.length > 0) this.owner.onData(bytes, 0, bytes.length);
    if (this.#closed) return;
    if (this.#paused) {
      // The end is told after the rest of what may come until it is resumed.
      if (this.#endHeld) this.#held ??= [];
    } else if (this.#endHeld) {
      this.#onEnd();
    } else {
      this.#handle.readStart();
    }
  }

  onRead(): void {
    const count = this.#internals.bytesRead();
    if (this.#closed) return;
    if (this.#held !== undefined || this.#paused) this.#hold(count);
    else if (count > 0) this.owner.onData(readBuffer, 0, count);
    else if (count === END_OF_STREAM) this.#onEnd();
    else if (count < 0) this.#close(getSystemErrorName(count));
  }

  #hold(count: number): void {
    if (count > 0) {
      this.#held ??= [];
      this.#held.push(Buffer.from(readBuffer.subarray(0, count)));
    } else if (count === END_OF_STREAM) {
      this.#held ??= [];
      this.#endHeld = true;
    } else if (count < 0) {
      this.#close(getSystemErrorName(count));
    }
  }

  #onEnd(): void {
    if (this.#readEnded || this.#closed) return;
    this.#readEnded = true;
    this.#handle.readStop();
    this.owner.onEnd();
    this.#closeWhenDone();
  }

  write(buffer: Buffer, start: number, end: number, more = false): boolean {
    if (this.#closed || this.#ending || start === end) return true;
    if (this.#socket !== undefined) this.#writeTls(buffer, start, end);
    else if (this.#gathering || (more && this.#pending === 0)) return this.#gather(buffer, start, end, more);
    else this.#writePlain(buffer, start, end);
    // A TLS write is always under way for a moment: only what piles up behind it counts.
    const flows = this.#backlog.bytes === 0 ? this.#pending === 0 || this.#socket !== undefined : this.#mayQueue();
    if (!flows) this.#wantsDrain = true;
    return flows;
  }

  #mayQueue(): boolean {
    return this.#socket !== undefined && this.#backlog.bytes < TLS_QUEUE_BYTES;
  }

  /** A TLS handle takes one write at a time. */
  #writeTls(buffer: Buffer, start: number, end: number): void {
    if (this.#pending > 0) this.#backlog.add(buffer, start, end);
    else this.#send(start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end));
  }

  #writePlain(buffer: Buffer, start: number, end: number): void {
    // What waits goes first.
    if (this.#backlog.bytes > 0) {
      this.#backlog.add(buffer, start, end);
      return;
    }
    if (buffer === composing && start === 0) {
      this.#sendComposed(end);
      return;
    }
    for (let from = start; from < end; from += WRITE_BYTES) {
      const to = Math.min(end, from + WRITE_BYTES);
      if (from > start && this.#pending > 0) {
        this.#backlog.add(buffer, from, end);
        return;
      }
      buffer.copy(composing, 0, from, to);
      this.#sendComposed(to - from);
    }
  }

  #gather(buffer: Buffer, start: number, end: number, more: boolean): boolean {
    this.#backlog.add(buffer, start, end);
    if (!more || this.#backlog.bytes >= READ_BYTES) {
      this.#flush();
      if (this.#pending > 0) this.#wantsDrain = true;
      return this.#pending === 0;
    }
    if (!this.#gathering) {
      this.#gathering = true;
      setImmediate(() => this.#flush());
    }
    return true;
  }

  /** Sends what was gathered. */
  #flush(): void {
    this.#gathering = false;
    if (this.#pending === 0 && this.#backlog.bytes > 0) this.#sendBacklog();
  }

  #sendBacklog(): void {
    const backlog = this.#backlog;
    // A TLS handle takes one write at a time.
    while (backlog.bytes > 0 && !this.#closed && (this.#pending === 0 || this.#socket === undefined)) {
      const length = backlog.nextBytes;
      const buffer = backlog.shift();
      if (!this.#send(buffer.subarray(0, length), buffer)) giveBackWriteBuffer(buffer);
    }
  }

  /** Writes `composing[0, length)`; where the write waits, the buffer goes with it. */
  #sendComposed(length: number): void {
    const buffer = composing;
    if (this.#send(buffer.subarray(0, length), buffer)) composing = takeWriteBuffer();
  }

  /** @returns whether the write is still under way, with the buffer */
  #send(bytes: Buffer, whole: Buffer = bytes): boolean {
    if (this.#closed) return false;
    const request = this.#idleRequest ?? this.#newRequest();
    this.#idleRequest = undefined;
    const failed = this.#handle.writeBuffer(request, bytes);
    if (failed !== 0) {
      this.#failWrite(getSystemErrorName(failed));
      return false;
    }
    if (!this.#internals.lastWriteWasAsync()) {
      this.#idleRequest = request;
      return false;
    }
    this.#pending++;
    // A TLS handle has encrypted into a buffer of its own; a plain one still reads from ours.
    if (this.#socket !== undefined) return false;
    request.whole = whole;
    return true;
  }

  #newRequest(): WriteRequest {
    const request = this.#internals.newWrite();
    request.oncomplete = onWritten;
    request.stream = this;
    return request;
  }

  onWritten(request: WriteRequest, status: number): void {
    if (request.whole !== undefined) giveBackWriteBuffer(request.whole);
    request.whole = undefined;
    this.#pending--;
    if (this.#closed) return;
    if (status < 0) {
      this.#close(getSystemErrorName(status));
      return;
    }
    if (this.#pending > 0) return;
    if (this.#backlog.bytes > 0) this.#sendBacklog();
    if (this.#closed) return;
    if (this.#wantsDrain && (this.#pending === 0 || this.#socket !== undefined)) {
      this.#wantsDrain = false;
      this.owner.onDrain();
    }
    if (this.#ending && this.#pending === 0 && this.#backlog.bytes === 0) this.#shutdown();
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    if (this.#gathering) this.#flush();
    this.#ending = true;
    if (this.#pending === 0 && this.#backlog.bytes === 0) this.#shutdown();
  }

  #shutdown(): void {
    if (this.#closed) return;
    if (this.#socket !== undefined) {
      this.#socket.end();
      return;
    }
    const request = this.#internals.newShutdown();
    request.oncomplete = (): void => this.#onShutdown();
    const failed = this.#handle.shutdown(request);
    if (failed !== 0) this.#failWrite(getSystemErrorName(failed));
  }

  #onShutdown(): void {
    this.#shutdownDone = true;
    this.#closeWhenDone();
  }

  /** Both directions have ended: nothing can come any more. */
  #closeWhenDone(): void {
    if (this.#readEnded && this.#shutdownDone) this.#close("");
  }

  close(): void {
    if (this.#gathering) this.#flush();
    this.#close("");
  }

  reset(): void {
    if (this.#gathering) this.#flush();
    if (this.#closed) return;
    // libuv refuses to reset what is shutting down, and leaves it open.
    if (this.#ending && !this.#shutdownDone) {
      this.#close("");
      return;
    }
    if (this.#socket === undefined) (this.#handle as TcpHandle).reset();
    else resetTls(this.#socket, this.#under as Socket);
    this.#onClosed("");
  }

  /** The owner is in the middle of its own work: it hears of it after. */
  #failWrite(code: string): void {
    if (this.#closed) return;
    this.#release();
    process.nextTick(() => this.owner.onClose(code));
  }

  #close(code: string): void {
    if (this.#closed) return;
    this.#release();
    this.owner.onClose(code);
  }

  #onClosed(code: string): void {
    if (this.#closed) return;
    this.#forget();
    this.owner.onClose(code);
  }

  #release(): void {
    this.#forget();
    if (this.#socket !== undefined) this.#socket.destroy();
    else this.#handle.close();
  }

  #forget(): void {
    this.#closed = true;
    this.#backlog.clear();
    this.#gathering = false;
    this.#held = undefined;
  }

  get unsent(): boolean {
    return this.#pending > 0 || this.#backlog.bytes > 0;
  }

  pause(): void {
    if (this.#paused || this.#closed) return;
    this.#paused = true;
    this.#handle.readStop();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    if (this.#held !== undefined) setImmediate(() => this.#deliverHeld());
    else if (!this.#readEnded) this.#handle.readStart();
  }

  release(head: Buffer): Socket {
    this.#handle.readStop();
    this.#handle.weft = undefined;
    this.#closed = true;
    const socket = new Socket({ handle: this.#handle, allowHalfOpen: true } as unknown as { allowHalfOpen: boolean });
    // Whatever goes wrong with it is told by the TLS socket on it as well.
    socket.on("error", () => undefined);
    if (head.length > 0) socket.unshift(head);
    return socket;
  }
}

let reads = 0;

/** How often all streams of the process have read so far: what tells a busy process from one that has time. */
export function readsSoFar(): number {
  return reads;
}

function onRead(this: StreamHandle): void {
  reads++;
  (this.weft as HandleStream | undefined)?.onRead();
}

function onWritten(this: WriteRequest, status: number): void {
  (this.stream as HandleStream).onWritten(this, status);
}

/** The buffer in which a write is best composed: `write` of it copies nothing. Valid until the next write. */
export function composeBuffer(): Buffer {
  return composing;
}
