/**
 * What both roles of an HTTP/2 connection share (RFC 9113): settings, windows, HPACK, the open streams, errors. Bytes in by
 * {@link Http2Connection.receive}, bytes out by {@link Http2Connection.flush}; it knows no socket and no timer.
 */
import { HpackDecoder } from "../hpack/decoder.ts";
import { HpackEncoder } from "../hpack/encoder.ts";
import { HpackError } from "../hpack/error.ts";
import type { HeaderField } from "../hpack/field.ts";
import type { ConnectionEvents, ConnectionOptions } from "./connection-options.ts";
import { FloodGuard } from "./flood.ts";
import type { FrameHandler } from "./frame-handler.ts";
import { FrameParser } from "./frame-parser.ts";
import { FrameWriter } from "./frame-writer.ts";
import { errorCode, errorName, Http2Error, MAX_STREAM_ID } from "./protocol.ts";
import { ReceiveFlow } from "./receive-flow.ts";
import { RecentResets } from "./recent-resets.ts";
import type { Role } from "./role.ts";
import { SendFlow } from "./send-flow.ts";
import { applySettings, INITIAL_SETTINGS, type Settings } from "./settings.ts";
import { Http2Stream, type StreamCarrier, type StreamHandler, type StreamReset } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

export class Http2Connection implements FrameHandler, StreamCarrier {
  readonly streams = new StreamTable();
  /** What the other end has told of itself. */
  readonly peer: Settings = { ...INITIAL_SETTINGS };
  closed = false;
  /** Least of the last stream ids the other end's GOAWAYs named. */
  peerLastStream = Number.POSITIVE_INFINITY;
  readonly #role: Role;
  readonly #events: ConnectionEvents;
  readonly #settings: Readonly<Settings>;
  readonly #writer: FrameWriter;
  readonly #parser: FrameParser;
  readonly #decoder: HpackDecoder;
  readonly #encoder = new HpackEncoder();
  readonly #flood: FloodGuard;
  readonly #sending: SendFlow;
  readonly #receiving: ReceiveFlow;
  readonly #resets = new RecentResets();
  readonly #fields: HeaderField[] = [];
  /** Last stream that was opened, and last one that was when all output was flushed. */
  #lastStream = 0;
  #flushedStream = 0;
  /** The stream whose DATA frame is being read, and what of the frame is not accounted for. */
  #dataStream: Http2Stream | undefined;
  #dataLeft = 0;
  /** What an end sends first waits from the beginning: its owner flushes when it can. */
  #announced = true;

  constructor(role: Role, options: ConnectionOptions) {
    this.#role = role;
    this.#events = options.events;
    this.#settings = options.settings;
    this.#writer = new FrameWriter();
    this.#sending = new SendFlow(this.#writer);
    this.#flood = new FloodGuard(options.now ?? (() => performance.now()), options.settings.maxConcurrentStreams);
    this.#decoder = new HpackDecoder(options.settings.maxHeaderListBytes);
    this.#parser = new FrameParser(this, {
      maxFrameBytes: options.settings.maxFrameBytes,
      maxHeaderBlockBytes: options.maxHeaderBlockBytes,
      preface: role.name === "server",
    });
    this.#writer.begin(role.name, options.settings);
    const { connectionWindow, maxStoredBytes = 0 } = options;
    this.#receiving = new ReceiveFlow(this.#writer, connectionWindow, maxStoredBytes, () => this.#announce());
  }

  /** What waits for a flush, bytes. */
  get waiting(): number {
    return this.#writer.size;
  }

  /** What handlers keep of some streams holds up all. */
  get heldUp(): boolean {
    return this.#receiving.shut;
  }

  /** As of {@link FrameParser.unfinished}. */
  get unfinished(): number {
    return this.#parser.unfinished;
  }

  /** Takes what came from the other end. */
  receive(bytes: Buffer, start: number, end: number): void {
    if (this.closed) return;
    try {
      this.#parser.feed(bytes, start, end);
    } catch (error) {
      if (error instanceof Http2Error) this.fail(error);
      else if (error instanceof HpackError) this.fail(new Http2Error(errorCode.compressionError, error.message));
      else throw error;
    }
  }

  /** Writes what waits. Bytes may be reused when `write` has returned. */
  flush(write: (bytes: Buffer, start: number, end: number) => void): void {
    this.#announced = false;
    this.#flushedStream = this.#lastStream;
    this.#writer.flush(write);
    this.#flood.flushed();
    this.#sending.wake();
  }

  /** Ends the connection for an error of the other end, and tells it by GOAWAY. */
  fail(error: Http2Error): void {
    if (this.closed) return;
    this.#writer.goAway(this.#role.lastPeerStream, error.code, error.message);
    this.#announce();
    this.close(error);
  }

  /**
   * The bytes have ended, or are no longer wanted. Streams that are open end with `error`: as unprocessed where not even their head was
   * flushed. That holds as long as nobody flushes after it, which only an {@link Http2Error} asks for.
   */
  close(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.#parser.stop();
    this.#sending.clear();
    this.#receiving.stop();
    const code = error instanceof Http2Error ? error.code : errorCode.cancel;
    const reason = error?.message ?? "the connection was closed";
    const unsent = this.#role.name === "client" && !(error instanceof Http2Error) ? this.#flushedStream : MAX_STREAM_ID;
    for (const stream of this.streams.all()) {
      this.#end(stream, { code, reason, unprocessed: stream.id > unsent, lost: true });
    }
    this.streams.clear();
    this.#events.onClose(error);
  }

  /** Says goodbye: the other end opens no more streams. @param last of its streams that is still served */
  goAway(code: number, reason: string, last = this.#role.lastPeerStream): void {
    if (this.closed) return;
    this.#writer.goAway(last, code, reason);
    this.#announce();
  }

  /** Asks for a sign of life: onPingAck. */
  ping(): void {
    if (this.closed) return;
    this.#writer.ping(Buffer.alloc(8), 0, false);
    this.#announce();
  }

  open(id: number, handler: StreamHandler): Http2Stream {
    const stream = new Http2Stream(id, handler, this, this.peer.initialWindow, this.#settings.initialWindow);
    this.streams.add(stream);
    this.#lastStream = id;
    return stream;
  }

  sendHeaders(stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean): void {
    this.#writer.headers(this.#encoder, stream.id, fields, endStream, this.peer.maxFrameBytes);
    this.#announce();
    if (endStream) this.#endLocal(stream);
  }

  sendData(stream: Http2Stream, bytes: Buffer, start: number, end: number, endStream: boolean): number {
    const taken = this.#sending.send(stream, bytes, start, end, endStream, this.peer.maxFrameBytes);
    if (taken > 0) this.#flood.progress();
    this.#announce();
    if (endStream && taken === end - start) this.#endLocal(stream);
    return taken;
  }

  resetStream(stream: Http2Stream, code: number): void {
    this.#resets.add(stream.id);
    this.#writer.reset(stream.id, code);
    this.#announce();
    // The last of all may end the connection: after what is to be said on it.
    this.#remove(stream);
  }

  creditStream(stream: Http2Stream, bytes: number): void {
    this.#receiving.creditStream(stream, bytes);
  }

  /** The message is malformed (8.1.1), or breaks another rule: its stream ends, the connection goes on. */
  refuse(stream: Http2Stream, code: number, problem: string): void {
    this.#flood.reply();
    // No work was begun for one that is refused.
    if (code !== errorCode.refusedStream) this.#givenUp(stream);
    this.resetStream(stream, code);
    stream.handler.onClose({ code, reason: `${errorName(code)}: ${problem}`, unprocessed: false, lost: false });
  }

  /** The other end sends no more on `stream`: call after its handler was told. */
  endRemote(stream: Http2Stream): void {
    if (stream.closed) return;
    stream.remoteEnded = true;
    if (stream.localEnded) this.#finish(stream);
  }

  /** A frame on a stream that is closed: no error where this end has reset it (5.1). @throws Http2Error */
  late(streamId: number): void {
    if (this.#resets.has(streamId)) return;
    const idle = this.#role.isIdle(streamId);
    const [code, state] = idle ? [errorCode.protocolError, "idle"] : [errorCode.streamClosed, "closed"];
    throw new Http2Error(code, `a frame on stream ${streamId}, which is ${state} (RFC 9113, 5.1)`);
  }

  onDataFrame(streamId: number, length: number): void {
    if (!this.#receiving.receive(length)) {
      throw new Http2Error(errorCode.flowControlError, "DATA beyond the connection's window (RFC 9113, 6.9.1)");
    }
    const stream = this.streams.get(streamId);
    this.#dataStream = undefined;
    this.#dataLeft = length;
    if (stream === undefined || stream.remoteEnded) {
      if (stream === undefined) this.late(streamId);
      else this.refuse(stream, errorCode.streamClosed, "DATA after END_STREAM (RFC 9113, 5.1)");
      this.#flood.idleFrame();
    } else if (!stream.receive(length)) {
      this.refuse(stream, errorCode.flowControlError, "DATA beyond the stream's window (RFC 9113, 6.9.1)");
    } else if (!stream.headReceived) {
      this.refuse(stream, errorCode.protocolError, "DATA before a head (RFC 9113, 8.1)");
    } else this.#dataStream = stream;
  }

  onData(_: number, bytes: Buffer, start: number, end: number, last: boolean, endStream: boolean): void {
    const length = end - start;
    this.#dataLeft -= length;
    // Padding is used up as soon as it is here.
    const overhead = last ? this.#dataLeft : 0;
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) {
      this.#receiving.credit(length + overhead);
      return;
    }
    if (length > 0) this.#flood.progress();
    else if (!endStream) this.#flood.idleFrame();
    stream.unconsumed += length + overhead;
    if (overhead > 0) this.#receiving.creditStream(stream, overhead);
    if (stream.breaksLength(length, endStream)) {
      this.refuse(stream, errorCode.protocolError, "a body of another length than announced (RFC 9113, 8.1.1)");
      return;
    }
    if (endStream) stream.remoteEnded = true;
    if (length > 0 || endStream) stream.handler.onData(bytes, start, end, endStream);
    if (stream.unconsumed > 0) this.#receiving.store(stream);
    if (endStream) this.endRemote(stream);
  }

  onHeaderBlock(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    // Decoded whatever becomes of it: both tables must stay the same.
    const complete = this.#decoder.decode(bytes, start, end, this.#fields);
    this.#flood.progress();
    const stream = this.streams.get(streamId);
    if (stream === undefined) this.#role.onUnknownStream(streamId, this.#fields, endStream, complete);
    else if (stream.remoteEnded) {
      this.refuse(stream, errorCode.streamClosed, "HEADERS after END_STREAM (RFC 9113, 5.1)");
    } else this.#role.onHeaders(stream, this.#fields, endStream, complete);
  }

  onReset(streamId: number, code: number): void {
    this.#flood.idleFrame();
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.#isIdle(streamId)) {
        throw new Http2Error(errorCode.protocolError, "RST_STREAM on an idle stream (RFC 9113, 6.4)");
      }
      return;
    }
    const unprocessed = code === errorCode.refusedStream;
    this.#givenUp(stream);
    this.#remove(stream);
    stream.handler.onClose({ code, reason: `the other end sent ${errorName(code)}`, unprocessed, lost: false });
  }

  onSettings(bytes: Buffer, start: number, end: number): void {
    this.#flood.idleFrame();
    this.#flood.reply();
    const before = this.peer.initialWindow;
    applySettings(this.peer, bytes, start, end, this.#role.name === "client" ? "server" : "client");
    this.#encoder.setLimit(this.peer.headerTableBytes);
    const difference = this.peer.initialWindow - before;
    for (const stream of this.streams.all()) {
      if (!stream.growSendWindow(difference)) {
        throw new Http2Error(errorCode.flowControlError, "SETTINGS make a window too large (RFC 9113, 6.9.2)");
      }
    }
    this.#writer.settingsAck();
    this.#announce();
    this.#events.onSettings();
    if (difference > 0) this.#sending.wake();
  }

  onSettingsAck(): void {
    this.#flood.idleFrame();
    this.#decoder.setLimit(this.#settings.headerTableBytes);
  }

  onPing(bytes: Buffer, start: number, ack: boolean): void {
    this.#flood.idleFrame();
    if (ack) {
      this.#events.onPingAck();
      return;
    }
    this.#flood.reply();
    this.#writer.ping(bytes, start, true);
    this.#announce();
    this.#events.onPing?.();
  }

  onGoAway(lastStreamId: number, code: number, bytes: Buffer, start: number, end: number): void {
    this.#flood.idleFrame();
    this.peerLastStream = Math.min(this.peerLastStream, lastStreamId);
    const said = bytes.toString("latin1", start, Math.min(end, start + 256));
    const reason = `the other end goes away: ${errorName(code)}${said === "" ? "" : `, ${said}`}`;
    const mine = this.#role.name === "client" ? 1 : 0;
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId || stream.id % 2 !== mine) continue;
      this.#remove(stream);
      stream.handler.onClose({ code, reason, unprocessed: true, lost: false });
    }
    if (!this.closed) this.#events.onGoAway(code, reason);
  }

  onWindowUpdate(streamId: number, increment: number): void {
    this.#flood.idleFrame();
    if (streamId === 0) {
      if (increment === 0) throw new Http2Error(errorCode.protocolError, "an increment of 0 (RFC 9113, 6.9)");
      if (!this.#sending.window.grow(increment)) {
        throw new Http2Error(errorCode.flowControlError, "the connection's window is too large (RFC 9113, 6.9.1)");
      }
      this.#sending.wake();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.#isIdle(streamId)) {
        throw new Http2Error(errorCode.protocolError, "WINDOW_UPDATE on an idle stream (RFC 9113, 6.9)");
      }
    } else if (increment === 0) this.refuse(stream, errorCode.protocolError, "an increment of 0 (RFC 9113, 6.9)");
    else if (!stream.growSendWindow(increment)) {
      this.refuse(stream, errorCode.flowControlError, "its window is too large (RFC 9113, 6.9.1)");
    } else this.#sending.wakeOne(stream);
  }

  onIgnored(): void {
    this.#flood.idleFrame();
  }

  /** Never opened; a request that was refused after our GOAWAY counts as opened here. */
  #isIdle(streamId: number): boolean {
    return !this.#resets.has(streamId) && this.#role.isIdle(streamId);
  }

  #endLocal(stream: Http2Stream): void {
    stream.localEnded = true;
    if (stream.remoteEnded) this.#finish(stream);
  }

  #finish(stream: Http2Stream): void {
    this.#flood.answered();
    this.#remove(stream);
    stream.handler.onClose(undefined);
  }

  #remove(stream: Http2Stream): void {
    this.streams.delete(stream.id);
    this.#sending.forget(stream);
    stream.closed = true;
    this.#receiving.forget(stream);
    if (this.streams.size === 0 && !this.closed) this.#events.onIdle();
  }

  #end(stream: Http2Stream, reset: StreamReset): void {
    if (stream.closed) return;
    stream.closed = true;
    stream.handler.onClose(reset);
  }

  /** Begun by the other end, and not answered. */
  #givenUp(stream: Http2Stream): void {
    if (this.#role.name === "server" && !stream.localEnded) this.#flood.givenUp();
  }

  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    this.#events.onOutput();
  }
}
