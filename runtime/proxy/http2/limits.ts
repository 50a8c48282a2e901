import { DEFAULT_LIFE, type Life } from "./keep-alive.ts";

/** What a peer may send in one header block, coded and decoded: as much as an HTTP/1 head. */
export const MAX_HEADER_BYTES = 65_536;
/** Bytes that a peer may send on all streams together before it is credited: as Linkerd's (reference 9.7). */
const CONNECTION_WINDOW = 1024 * 1024;
/** What may wait for receivers of all streams together, bytes: the streams that bring more hold the connection's others back. */
export const MAX_STORED_BYTES = 4 * 1024 * 1024;
/** What may wait for a client that fetches nothing, bytes, before nothing more is read of it: heads have no flow control. */
export const MAX_WAITING_BYTES = 1024 * 1024;
/** How long a connection without streams is kept, milliseconds: a shared one costs little to keep, and a handshake to make again. */
export const IDLE_MS = 60_000;
/** Requests at once on a client's connection. */
const MAX_STREAMS = 1_024;
/** Of a stream before it is credited, bytes: RFC 9113's own (6.9.2), and the least, because clients send that much before they know better. */
const STREAM_WINDOW = 65_535;
/** RFC 9113, 4.2: the least that an end must take. */
const FRAME_BYTES = 16_384;

/** What may be received before it is credited, bytes. */
export interface Http2Windows {
  readonly stream: number;
  readonly connection: number;
}

/** What a server's connection is made with; what is absent is as the environment says. */
export interface Http2ClientParams {
  readonly windows?: Http2Windows;
  readonly life?: Life;
}

/** What a client may do on a connection, *_SERVER_HTTP2_* (reference 4.6). */
export interface Http2Limits {
  readonly windows: Http2Windows;
  readonly maxStreams: number;
  readonly maxFrameBytes: number;
  readonly maxHeaderBytes: number;
  readonly life: Life;
}

export const DEFAULT_WINDOWS: Http2Windows = { stream: STREAM_WINDOW, connection: CONNECTION_WINDOW };

export const SERVER_LIMITS: Http2Limits = {
  windows: DEFAULT_WINDOWS,
  maxStreams: MAX_STREAMS,
  maxFrameBytes: FRAME_BYTES,
  maxHeaderBytes: MAX_HEADER_BYTES,
  life: DEFAULT_LIFE,
};
