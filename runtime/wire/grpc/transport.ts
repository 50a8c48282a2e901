/** The bytes under a channel, as it needs them: whoever makes them knows of sockets and TLS. */

export interface TransportEvents {
  /** Bytes can be sent. */
  onConnect(): void;
  /** `bytes[start, end)` is valid during the call only. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** What `write` held back is gone. */
  onDrain(): void;
  /** Once, and last: not connected, or no longer. Not after {@link Transport.close}. */
  onClose(error: Error): void;
}

export interface Transport {
  /** The bytes may be reused on return. False: hold back until onDrain. */
  write(bytes: Buffer, start: number, end: number): boolean;
  /** Ends after what was written. Nothing is told afterwards. */
  close(): void;
}

/** Begins to connect; `events` are told on later turns. */
export type Dial = (events: TransportEvents) => Transport;
