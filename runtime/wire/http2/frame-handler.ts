/** What the frames of a connection say, to whoever keeps its state. */

/** Bytes are valid during a call only. */
export interface FrameHandler {
  /** A DATA frame begins. @param length its whole payload, padding included: what counts in windows (6.9.1) */
  onDataFrame(streamId: number, length: number): void;
  /** A piece of it, without padding; empty only as the last. @param last the frame ends. @param endStream the stream does too */
  onData(streamId: number, bytes: Buffer, start: number, end: number, last: boolean, endStream: boolean): void;
  /** A whole header block. */
  onHeaderBlock(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): void;
  onReset(streamId: number, code: number): void;
  onSettings(bytes: Buffer, start: number, end: number): void;
  onSettingsAck(): void;
  /** `bytes[start, start + 8)` are its payload. */
  onPing(bytes: Buffer, start: number, ack: boolean): void;
  onGoAway(lastStreamId: number, code: number, bytes: Buffer, start: number, end: number): void;
  /** @param streamId 0 for the connection. @param increment 0 is an error (6.9) */
  onWindowUpdate(streamId: number, increment: number): void;
  /** A frame that changes nothing: PRIORITY, and types unknown to us. */
  onIgnored(): void;
}
