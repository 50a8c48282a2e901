/** One end of a connection, as bytes: what the whole data plane is written against. */

import type { Socket } from "node:net";

/** A read of exactly so much was a full TLS record (RFC 8446, 5.1): more of the same message is likely on its heels. */
export const FULL_RECORD_BYTES = 16_384;

/** Whoever reads a stream. No callback comes from within `write` or `end`; `close` and `reset` call onClose before they return. */
export interface StreamOwner {
  /** `buffer[start, end)` is valid during this call only: all streams of the process read into one buffer. */
  onData(buffer: Buffer, start: number, end: number): void;
  /** The peer sends no more (FIN, or TLS close_notify). The stream can still be written. */
  onEnd(): void;
  /** What `write` had to hold back is gone. */
  onDrain(): void;
  /** Once, whoever closed it. `errno` is empty, or e.g. `ECONNRESET`. Nothing is called after it. */
  onClose(errno: string): void;
}

export interface ByteStream {
  owner: StreamOwner;
  /**
   * `buffer[start, end)` may be reused on return. False: hold back until onDrain. Ignored after end or close.
   * `more`: the writer will likely write again in this turn of the loop; until its end the bytes may wait for that.
   */
  write(buffer: Buffer, start: number, end: number, more?: boolean): boolean;
  /** Half-close, after what was written. A stream that has ended in both directions closes by itself. */
  end(): void;
  /** Drops the connection now; with unread or unsent bytes the peer sees a reset. */
  close(): void;
  /** A TCP reset, where the peer must not take what it got for complete. */
  reset(): void;
  pause(): void;
  resume(): void;
  /** Whether something written is still here. */
  readonly unsent: boolean;
}

export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** A connection that was accepted and is not read yet. */
export interface Accepted {
  readonly remote: Address;
  readonly local: Address;
  /** Where it was going before the redirect; undefined when it was not redirected. */
  readonly original: Address | undefined;
  /** Starts reading, for `owner`. */
  open(owner: StreamOwner): ByteStream;
}

export interface Listener {
  readonly address: Address;
  close(): void;
}

/** A way to do TCP: over Node's stream handles, or over public sockets. Both pass the same tests. */
export interface Transport {
  readonly name: "handles" | "sockets";
  listen(address: Address, backlog: number, accept: (connection: Accepted) => void): Promise<Listener>;
  /** Resolves once connected. @throws ConnectError */
  connect(address: Address, timeoutMs: number, owner: StreamOwner): Promise<ByteStream>;
  /** Takes over a TLSSocket after its handshake with what it has already buffered. `under` is the TCP socket it runs on. */
  adopt(socket: Socket, owner: StreamOwner, under: Socket): ByteStream;
  /** Gives a stream up as a net.Socket that will read `head` first: how TLS gets its ClientHello. */
  release(stream: ByteStream, head: Buffer): Socket;
}

/** No connection came about: nothing was sent to anybody. */
export class ConnectError extends Error {
  /** `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`… */
  readonly code: string;
  constructor(address: Address, code: string) {
    super(`connect to ${address.ip}:${address.port}: ${code}`);
    this.name = "ConnectError";
    this.code = code;
  }
}

/** Reads for nobody: for a stream that is given up at once. */
export const nobody: StreamOwner = {
  onData: () => undefined,
  onEnd: () => undefined,
  onDrain: () => undefined,
  onClose: () => undefined,
};
