/** The numbers of HTTP/2 (RFC 9113). */

/** What a client sends first (3.4). */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
export const FRAME_HEADER_BYTES = 9;

/** Types of frames (6). */
export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of frames (6); END_STREAM and ACK share a bit. */
export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

/** Error codes (7). */
export const errorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;

const CODE_NAMES = new Map<number, string>([
  [0, "NO_ERROR"],
  [1, "PROTOCOL_ERROR"],
  [2, "INTERNAL_ERROR"],
  [3, "FLOW_CONTROL_ERROR"],
  [4, "SETTINGS_TIMEOUT"],
  [5, "STREAM_CLOSED"],
  [6, "FRAME_SIZE_ERROR"],
  [7, "REFUSED_STREAM"],
  [8, "CANCEL"],
  [9, "COMPRESSION_ERROR"],
  [10, "CONNECT_ERROR"],
  [11, "ENHANCE_YOUR_CALM"],
  [12, "INADEQUATE_SECURITY"],
  [13, "HTTP_1_1_REQUIRED"],
]);

/** @returns the RFC's name of an error code */
export function errorName(code: number): string {
  return CODE_NAMES.get(code) ?? `error ${code}`;
}

export const DEFAULT_WINDOW = 65_535;
export const MAX_WINDOW = 2 ** 31 - 1;
export const MIN_FRAME_BYTES = 16_384;
export const MAX_FRAME_BYTES = 2 ** 24 - 1;
export const MAX_STREAM_ID = 2 ** 31 - 1;

/** Ends the connection: thrown by whatever finds it, sent as GOAWAY by the connection. */
export class Http2Error extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(`${errorName(code)}: ${message}`);
    this.name = "Http2Error";
    this.code = code;
  }
}
