/** The server's role on an HTTP/2 connection (RFC 9113): takes requests, answers them. */
import type { HeaderField } from "../hpack/field.ts";
import { internField } from "../hpack/intern.ts";
import { Http2Connection } from "./connection.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { announcedLength, areRequest } from "./message-rules.ts";
import { errorCode, Http2Error, MAX_STREAM_ID } from "./protocol.ts";
import type { Role } from "./role.ts";
import { shedStalled } from "./stalls.ts";
import { type Http2Stream, type StreamHandler, UNHANDLED } from "./stream.ts";
import { takeTrailers } from "./trailers.ts";

export interface ServerConnectionOptions extends ConnectionOptions {
  /**
   * A request's head has come. @param fields valid during the call only
   * @returns who takes the rest; it may have answered already
   */
  readonly onRequest: (stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean) => StreamHandler;
}

const TOO_LARGE = [internField(":status", "431")];

/** Its initial window must be 65,535 or more: clients send that much before they know (6.9.2). */
export class ServerConnection implements Role {
  readonly name = "server";
  readonly #connection: Http2Connection;
  readonly #options: ServerConnectionOptions;
  #lastPeerStream = 0;
  #goingAway = false;

  constructor(options: ServerConnectionOptions) {
    this.#options = options;
    this.#connection = new Http2Connection(this, options);
  }

  get lastPeerStream(): number {
    return this.#lastPeerStream;
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  get openStreams(): number {
    return this.#connection.streams.size;
  }

  /** Which preface, or head, has begun and is not whole; 0: none. The same number is the same one. */
  get unfinished(): number {
    return this.#connection.unfinished;
  }

  /** What waits for a flush, bytes. */
  get waiting(): number {
    return this.#connection.waiting;
  }

  /** Ends the connection of a client that does what nobody needs to. */
  giveUp(problem: string): void {
    this.#connection.fail(new Http2Error(errorCode.enhanceYourCalm, problem));
  }

  receive(bytes: Buffer, start: number, end: number): void {
    this.#connection.receive(bytes, start, end);
  }

  /** As {@link shedStalled}. */
  shedStalled(): void {
    shedStalled(this.#connection);
  }

  flush(write: (bytes: Buffer, start: number, end: number) => void): void {
    this.#connection.flush(write);
  }

  close(error?: Error): void {
    this.#connection.close(error);
  }

  /** Says that no new requests are wanted, and still takes those that are on their way (6.8). Ask for a sign of life, then {@link goAway}. */
  announceGoAway(reason: string): void {
    this.#connection.goAway(errorCode.noError, reason, MAX_STREAM_ID);
  }

  ping(): void {
    this.#connection.ping();
  }

  /** Takes no new requests; those that are open go on (6.8). */
  goAway(reason: string): void {
    this.#goingAway = true;
    this.#connection.goAway(errorCode.noError, reason);
  }

  isIdle(streamId: number): boolean {
    // After our GOAWAY higher ones are as good as closed: their frames are under way (6.8).
    return streamId % 2 === 0 || (streamId > this.#lastPeerStream && !this.#goingAway);
  }

  onUnknownStream(streamId: number, fields: readonly HeaderField[], endStream: boolean, complete: boolean): void {
    const connection = this.#connection;
    if (streamId % 2 === 0 || streamId <= this.#lastPeerStream) {
      connection.late(streamId);
      return;
    }
    // After our GOAWAY it counts as never sent (6.8).
    if (!this.#goingAway) this.#lastPeerStream = streamId;
    const stream = connection.open(streamId, UNHANDLED);
    const length = announcedLength(fields);
    if (this.#goingAway || connection.streams.size > this.#options.settings.maxConcurrentStreams) {
      connection.refuse(stream, errorCode.refusedStream, "too many streams");
    } else if (!complete) {
      stream.sendHeaders(TOO_LARGE, true);
      connection.refuse(stream, errorCode.noError, "header fields beyond our SETTINGS_MAX_HEADER_LIST_SIZE");
    } else if (!areRequest(fields) || length === -2 || (endStream && length > 0)) {
      connection.refuse(stream, errorCode.protocolError, "a malformed request (RFC 9113, 8.1.1)");
    } else {
      stream.headReceived = true;
      stream.remoteEnded = endStream;
      if (!endStream) stream.expectedBytes = length;
      const handler = this.#options.onRequest(stream, fields, endStream);
      stream.handler = handler;
      // It may have been answered in full by now.
      if (endStream) connection.endRemote(stream);
    }
  }

  onHeaders(stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean, complete: boolean): void {
    const connection = this.#connection;
    if (!complete) connection.refuse(stream, errorCode.enhanceYourCalm, "trailers beyond our limit");
    else takeTrailers(connection, stream, fields, endStream);
  }
}
