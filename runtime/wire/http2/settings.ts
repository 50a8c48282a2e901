/** SETTINGS (RFC 9113, 6.5): what one end tells the other of itself. */
import { DEFAULT_WINDOW, errorCode, Http2Error, MAX_FRAME_BYTES, MAX_WINDOW, MIN_FRAME_BYTES } from "./protocol.ts";

const HEADER_TABLE_SIZE = 1;
const ENABLE_PUSH = 2;
const MAX_CONCURRENT_STREAMS = 3;
const INITIAL_WINDOW_SIZE = 4;
const MAX_FRAME_SIZE = 5;
const MAX_HEADER_LIST_SIZE = 6;

const ENTRY_BYTES = 6;

export interface Settings {
  headerTableBytes: number;
  /** Streams that the other end may have open; Infinity where nothing was said. */
  maxConcurrentStreams: number;
  /** Window of a new stream, bytes. */
  initialWindow: number;
  maxFrameBytes: number;
  /** Infinity where nothing was said. */
  maxHeaderListBytes: number;
}

/** What holds before the first SETTINGS. */
export const INITIAL_SETTINGS: Readonly<Settings> = {
  headerTableBytes: 4_096,
  maxConcurrentStreams: Number.POSITIVE_INFINITY,
  initialWindow: DEFAULT_WINDOW,
  maxFrameBytes: MIN_FRAME_BYTES,
  maxHeaderListBytes: Number.POSITIVE_INFINITY,
};

/** The payload that says `settings`, without what holds anyway; push is always refused (8.4), as clients may and servers must not say. */
export function encodeSettings(settings: Readonly<Settings>, role: "client" | "server"): Buffer {
  const entries: [id: number, value: number][] = [];
  const say = (id: number, value: number, standard: number): void => {
    if (value !== standard) entries.push([id, value]);
  };
  say(HEADER_TABLE_SIZE, settings.headerTableBytes, INITIAL_SETTINGS.headerTableBytes);
  if (role === "client") entries.push([ENABLE_PUSH, 0]);
  say(MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams, INITIAL_SETTINGS.maxConcurrentStreams);
  say(INITIAL_WINDOW_SIZE, settings.initialWindow, INITIAL_SETTINGS.initialWindow);
  say(MAX_FRAME_SIZE, settings.maxFrameBytes, INITIAL_SETTINGS.maxFrameBytes);
  say(MAX_HEADER_LIST_SIZE, settings.maxHeaderListBytes, INITIAL_SETTINGS.maxHeaderListBytes);
  const payload = Buffer.alloc(entries.length * ENTRY_BYTES);
  for (const [index, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, index * ENTRY_BYTES);
    payload.writeUInt32BE(value, index * ENTRY_BYTES + 2);
  }
  return payload;
}

/**
 * Applies the payload `bytes[start, end)` to `settings`, in order.
 * @param from role of the end that sent it. @throws Http2Error for values out of range (6.5.2)
 */
export function applySettings(
  settings: Settings,
  bytes: Buffer,
  start: number,
  end: number,
  from: "client" | "server",
): void {
  for (let at = start; at < end; at += ENTRY_BYTES) {
    const value = bytes.readUInt32BE(at + 2);
    switch (bytes.readUInt16BE(at)) {
      case HEADER_TABLE_SIZE:
        settings.headerTableBytes = value;
        break;
      case ENABLE_PUSH:
        if (value > 1 || (value === 1 && from === "server")) throw refused("SETTINGS_ENABLE_PUSH", value);
        break;
      case MAX_CONCURRENT_STREAMS:
        settings.maxConcurrentStreams = value;
        break;
      case INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW) throw refused("SETTINGS_INITIAL_WINDOW_SIZE", value, errorCode.flowControlError);
        settings.initialWindow = value;
        break;
      case MAX_FRAME_SIZE:
        if (value < MIN_FRAME_BYTES || value > MAX_FRAME_BYTES) throw refused("SETTINGS_MAX_FRAME_SIZE", value);
        settings.maxFrameBytes = value;
        break;
      case MAX_HEADER_LIST_SIZE:
        settings.maxHeaderListBytes = value;
        break;
      default: // Unknown ones are ignored (6.5.2).
    }
  }
}

function refused(name: string, value: number, code: number = errorCode.protocolError): Http2Error {
  return new Http2Error(code, `${name} of ${value} (RFC 9113, 6.5.2)`);
}
