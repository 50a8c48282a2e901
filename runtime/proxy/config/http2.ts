/** Limits of HTTP/2 connections (reference 4.6). What is not said is Linkerd's default, or this proxy's where Linkerd has none. */
import { lifeOf } from "../http2/keep-alive.ts";
import { DEFAULT_WINDOWS, type Http2Limits, type Http2Windows, SERVER_LIMITS } from "../http2/limits.ts";
import { ConfigError, type Environment } from "./environment.ts";

/** RFC 9113, 6.5.2 and 6.9.1. */
const MAX_WINDOW = 2 ** 31 - 1;
const MAX_FRAME_BYTES = 2 ** 24 - 1;
const MIN_FRAME_BYTES = 16_384;

/** @param prefix e.g. `LINKERD2_PROXY_HTTP2` */
export function readHttp2Windows(env: Environment, prefix: string): Http2Windows {
  const { stream, connection } = DEFAULT_WINDOWS;
  return {
    stream: readWindow(env, `${prefix}_INITIAL_STREAM_WINDOW_SIZE`, stream),
    connection: readWindow(env, `${prefix}_INITIAL_CONNECTION_WINDOW_SIZE`, connection),
  };
}

/** @param prefix e.g. `LINKERD2_PROXY_INBOUND_SERVER_HTTP2` */
export function readHttp2Limits(env: Environment, prefix: string): Http2Limits {
  const { maxStreams, maxFrameBytes, maxHeaderBytes } = SERVER_LIMITS;
  const intervalMs = env.duration(`${prefix}_KEEP_ALIVE_INTERVAL`, 10_000);
  const timeoutMs = env.duration(`${prefix}_KEEP_ALIVE_TIMEOUT`, 3_000);
  const limits = {
    windows: readHttp2Windows(env, prefix),
    maxStreams: env.integer(`${prefix}_MAX_CONCURRENT_STREAMS`, maxStreams),
    maxFrameBytes: env.integer(`${prefix}_MAX_FRAME_SIZE`, maxFrameBytes),
    maxHeaderBytes: env.integer(`${prefix}_MAX_HEADER_LIST_SIZE`, maxHeaderBytes),
    life: lifeOf(intervalMs, timeoutMs),
  };
  if (limits.maxFrameBytes < MIN_FRAME_BYTES || limits.maxFrameBytes > MAX_FRAME_BYTES) {
    throw new ConfigError(`${prefix}_MAX_FRAME_SIZE`, `is not between ${MIN_FRAME_BYTES} and ${MAX_FRAME_BYTES}`);
  }
  return limits;
}

/** Less than RFC 9113's initial window cannot be had: others send that much before they hear of it. */
function readWindow(env: Environment, name: string, fallback: number): number {
  const bytes = env.integer(name, fallback);
  if (bytes > MAX_WINDOW) throw new ConfigError(name, `is more than ${MAX_WINDOW}`);
  return Math.max(bytes, DEFAULT_WINDOWS.stream);
}
