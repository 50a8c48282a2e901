/** One exchange on an HTTP/2 connection (RFC 9113, 5.1), whichever end began it. */
import type { HeaderField } from "../hpack/field.ts";
import { MAX_WINDOW } from "./protocol.ts";

/** Why a stream ended before both ends were through. */
export interface StreamReset {
  /** HTTP/2 error code. */
  readonly code: number;
  /** What happened, for logs. */
  readonly reason: string;
  /** The peer has said that it did nothing with the request (RFC 9113, 8.7): it may be sent elsewhere. */
  readonly unprocessed: boolean;
  /** The whole connection ended. */
  readonly lost: boolean;
}

/** What comes from the other end. Fields and bytes are valid during a call only. */
export interface StreamHandler {
  /** A response with a status below 200; of clients only. */
  onInformational(fields: readonly HeaderField[]): void;
  /** The response's head; of clients only: a server is asked for a handler with the request's. */
  onHeaders(fields: readonly HeaderField[], endStream: boolean): void;
  /** Pieces of the body as they come. Each byte is credited to the sender by {@link Http2Stream.consume}. */
  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void;
  /** The other end sends no more after these. */
  onTrailers(fields: readonly HeaderField[]): void;
  /** More may be sent, after `send` took less than it was given. */
  onWritable(): void;
  /** Once, and last: without `reset` when both ends were through. Not called for {@link Http2Stream.reset} by this end. */
  onClose(reset: StreamReset | undefined): void;
}

/** What a stream asks of its connection. */
export interface StreamCarrier {
  sendHeaders(stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean): void;
  sendData(stream: Http2Stream, bytes: Buffer, start: number, end: number, endStream: boolean): number;
  resetStream(stream: Http2Stream, code: number): void;
  creditStream(stream: Http2Stream, bytes: number): void;
}

/** Length of a body that nobody announced. */
const UNKNOWN_LENGTH = -1;

export class Http2Stream {
  readonly id: number;
  /** Replaced once by the server's role, which needs the stream to find it. */
  handler: StreamHandler;
  /** What the other end allows to be sent. Below zero where it made its initial window smaller afterwards (6.9.2). */
  sendWindow: number;
  readonly #carrier: StreamCarrier;
  /** This end sends no more. */
  localEnded = false;
  /** The other end sends no more. */
  remoteEnded = false;
  closed = false;
  /** The message's head has come: what else comes as headers are trailers. */
  headReceived = false;
  /** Of a client: its response has no body, and may say the length of the one that it leaves out (RFC 9110, 9.3.2). */
  asksForHead = false;
  /** What content-length says; -1 for nothing. */
  expectedBytes = UNKNOWN_LENGTH;
  receivedBytes = 0;
  /** Bytes the handler has seen and not credited. */
  unconsumed = 0;
  /** Of those it has not credited: what the connection was credited for. */
  stored = 0;
  /** What its handler kept when it was last looked at, bytes, and how often that was the same before. */
  #keptThen = 0;
  #looks = 0;
  /** As of {@link ReceiveWindow}, without an object of its own: there is a stream for every request. */
  readonly #windowSize: number;
  #allowed: number;
  #used = 0;

  constructor(id: number, handler: StreamHandler, carrier: StreamCarrier, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.handler = handler;
    this.#carrier = carrier;
    this.sendWindow = sendWindow;
    this.#windowSize = receiveWindow;
    this.#allowed = receiveWindow;
  }

  /** @returns how often in a row its handler was found to have taken nothing of what it keeps */
  look(): number {
    const kept = this.stored + this.unconsumed;
    this.#looks = kept > 0 && kept === this.#keptThen ? this.#looks + 1 : 0;
    this.#keptThen = kept;
    return this.#looks;
  }

  /** @returns false where its window grew beyond what one may be (6.9.1) */
  growSendWindow(bytes: number): boolean {
    this.sendWindow += bytes;
    return this.sendWindow <= MAX_WINDOW;
  }

  /** @returns false where the other end sends more than it may */
  receive(bytes: number): boolean {
    this.#allowed -= bytes;
    return this.#allowed >= 0;
  }

  /** What was received is used. @returns credit to send now, mostly 0 */
  credit(bytes: number): number {
    this.#used += bytes;
    if (this.#used * 2 < this.#windowSize) return 0;
    const credit = this.#used;
    this.#used = 0;
    this.#allowed += credit;
    return credit;
  }

  /** Sends a head, or trailers, which end the stream. Ignored once this end is through. */
  sendHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    if (!this.localEnded && !this.closed) this.#carrier.sendHeaders(this, fields, endStream);
  }

  /**
   * Sends as much of `bytes[start, end)` as windows and the connection's output allow; the bytes are free on return.
   * `endStream` counts when all of it was taken.
   * @returns how many were taken. Fewer than given: the rest after onWritable
   */
  send(bytes: Buffer, start: number, end: number, endStream: boolean): number {
    return this.localEnded || this.closed ? 0 : this.#carrier.sendData(this, bytes, start, end, endStream);
  }

  /** Ends the exchange at once; its handler is not called again. @param code HTTP/2 error code */
  reset(code: number): void {
    if (!this.closed) this.#carrier.resetStream(this, code);
  }

  /** As many bytes of what onData brought are used: the other end may send as many more. */
  consume(bytes: number): void {
    if (!this.closed) this.#carrier.creditStream(this, bytes);
  }

  /** @returns whether the body is longer than announced, or at its end shorter (RFC 9113, 8.1.1) */
  breaksLength(bytes: number, ended: boolean): boolean {
    this.receivedBytes += bytes;
    if (this.expectedBytes === UNKNOWN_LENGTH) return false;
    return ended ? this.receivedBytes !== this.expectedBytes : this.receivedBytes > this.expectedBytes;
  }
}

/** For a stream that ends before anybody looks at it. */
export const UNHANDLED: StreamHandler = {
  onInformational: () => undefined,
  onHeaders: () => undefined,
  onData: () => undefined,
  onTrailers: () => undefined,
  onWritable: () => undefined,
  onClose: () => undefined,
};
