/** What a peer may send in one header block, coded and decoded: as much as an HTTP/1 head. */
export const MAX_HEADER_BYTES = 65_536;
/** Bytes that a peer may send on all streams together before it is credited: as Linkerd's (reference 9.7). */
export const CONNECTION_WINDOW = 1024 * 1024;
/** What may wait for receivers of all streams together, bytes: the streams that bring more hold the connection's others back. */
export const MAX_STORED_BYTES = 4 * 1024 * 1024;
/** How long a connection without streams is kept, milliseconds: a shared one costs little to keep, and a handshake to make again. */
export const IDLE_MS = 60_000;
/** Requests at once on a client's connection. */
export const MAX_STREAMS = 1_024;
