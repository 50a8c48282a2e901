import type { HeaderField } from "../hpack/field.ts";
import type { Http2Stream } from "./stream.ts";

/** What the two roles do each in its own way. */
export interface Role {
  readonly name: "client" | "server";
  /** The last stream that the other end has opened and this one has taken: what GOAWAY names. */
  readonly lastPeerStream: number;
  /** Whether the stream was never opened, by either end. */
  isIdle(streamId: number): boolean;
  /** A header block on a stream that is not known: new, or closed. @throws Http2Error */
  onUnknownStream(streamId: number, fields: readonly HeaderField[], endStream: boolean, complete: boolean): void;
  /** Head or trailers of an open stream. @param complete false: over our limit, `fields` are cut */
  onHeaders(stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean, complete: boolean): void;
}
