/** The client's role on an HTTP/2 connection (RFC 9113): opens streams, takes responses. */
import type { HeaderField } from "../hpack/field.ts";
import { Http2Connection } from "./connection.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { announcedLength, responseStatus } from "./message-rules.ts";
import { errorCode, MAX_STREAM_ID } from "./protocol.ts";
import type { Role } from "./role.ts";
import { shedStalled } from "./stalls.ts";
import type { Http2Stream, StreamHandler } from "./stream.ts";
import { takeTrailers } from "./trailers.ts";

/** Statuses whose responses have no body, whatever their length says (RFC 9110, 6.4.1). */
const WITHOUT_BODY = new Set([204, 304]);

export class ClientConnection implements Role {
  readonly name = "client";
  /** Push is refused: none ever. */
  readonly lastPeerStream = 0;
  readonly #connection: Http2Connection;
  #nextStreamId = 1;

  constructor(options: ConnectionOptions) {
    this.#connection = new Http2Connection(this, options);
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  get openStreams(): number {
    return this.#connection.streams.size;
  }

  /** Whether a request can be sent now, or once a stream has ended. */
  get accepting(): boolean {
    const { closed, peerLastStream } = this.#connection;
    return !closed && peerLastStream === Number.POSITIVE_INFINITY && this.#nextStreamId <= MAX_STREAM_ID;
  }

  /** Whether {@link request} opens a stream now. */
  get ready(): boolean {
    return this.accepting && this.#connection.streams.size < this.#connection.peer.maxConcurrentStreams;
  }

  receive(bytes: Buffer, start: number, end: number): void {
    this.#connection.receive(bytes, start, end);
  }

  /** What is kept of some responses holds up all: a request had better go elsewhere. */
  get heldUp(): boolean {
    return this.#connection.heldUp;
  }

  /** As {@link shedStalled}. */
  shedStalled(): void {
    shedStalled(this.#connection);
  }

  flush(write: (bytes: Buffer, start: number, end: number) => void): void {
    this.#connection.flush(write);
  }

  ping(): void {
    this.#connection.ping();
  }

  close(error?: Error): void {
    this.#connection.close(error);
  }

  /**
   * Opens a stream. @param fields pseudo-fields first
   * @returns undefined while it is not {@link ready}
   */
  request(fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler): Http2Stream | undefined {
    if (!this.ready) return undefined;
    const stream = this.#connection.open(this.#nextStreamId, handler);
    this.#nextStreamId += 2;
    stream.asksForHead = isHead(fields);
    stream.sendHeaders(fields, endStream);
    return stream;
  }

  isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.#nextStreamId;
  }

  onUnknownStream(streamId: number): void {
    this.#connection.late(streamId);
  }

  onHeaders(stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean, complete: boolean): void {
    const connection = this.#connection;
    if (!complete) {
      connection.refuse(stream, errorCode.enhanceYourCalm, "header fields beyond our SETTINGS_MAX_HEADER_LIST_SIZE");
    } else if (stream.headReceived) takeTrailers(connection, stream, fields, endStream);
    else this.#head(stream, fields, endStream);
  }

  #head(stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean): void {
    const connection = this.#connection;
    const status = responseStatus(fields);
    const length = announcedLength(fields);
    // There is no 101 in HTTP/2 (8.6).
    if (status === 0 || status === 101 || length === -2 || (status < 200 && endStream)) {
      connection.refuse(stream, errorCode.protocolError, "a malformed response (RFC 9113, 8.3.2)");
      return;
    }
    if (status < 200) {
      stream.handler.onInformational(fields);
      return;
    }
    stream.headReceived = true;
    // A head without a body may say the length of the one that it leaves out (RFC 9110, 8.6).
    if (stream.asksForHead) stream.expectedBytes = 0;
    else if (!endStream && !WITHOUT_BODY.has(status)) stream.expectedBytes = length;
    if (endStream) stream.remoteEnded = true;
    stream.handler.onHeaders(fields, endStream);
    if (endStream) connection.endRemote(stream);
  }
}

function isHead(fields: readonly HeaderField[]): boolean {
  for (const { name, value } of fields) {
    if (name === ":method") return value === "HEAD";
    if (!name.startsWith(":")) return false;
  }
  return false;
}
