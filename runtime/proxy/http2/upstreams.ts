/** HTTP/2 connections to one server, each shared by as many requests as the server lets it carry. */
import type { HeaderField } from "../../wire/hpack/field.ts";
import type { Http2Stream, StreamHandler } from "../../wire/http2/stream.ts";
import type { TcpSeries } from "../metrics/series.ts";

/** One exchange: what a request's sender may do with it. A stream of HTTP/2, or what stands for one (`http2-over-http1.ts`). */
export type UpstreamStream = Pick<Http2Stream, "sendHeaders" | "send" | "consume" | "reset">;

/** One connection. What is sent goes out once a turn of the event loop. */
export interface Http2Client {
  /**
   * Opens a stream. @param fields pseudo-fields first
   * @returns undefined where the connection takes no more now
   */
  request(fields: readonly HeaderField[], endStream: boolean, handler: StreamHandler): UpstreamStream | undefined;
}

export interface Http2Upstreams {
  readonly tcp: TcpSeries;
  /** A connection with room for a request, if there is one now. */
  take(): Http2Client | undefined;
  /** One with room. Rejects with ConnectError or PeerIdentityError: nothing was sent then. */
  connect(): Promise<Http2Client>;
}
