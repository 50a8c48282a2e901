/**
 * One HTTP/1 exchange with a server, as a client's connection sees it: a connection of its own (`upstream-connection.ts`), or a
 * stream of a connection that many share (`../http2/http1-over-http2.ts`).
 */
import type { ByteStream } from "../transport/stream.ts";
import type { Head } from "./head.ts";

/** Whoever sent the request. A false answer holds the server back until `resume`. */
export interface ResponseSink {
  /** Method of the request under way. */
  readonly method: string;
  /** An interim response (1xx): `bytes[start, head.end)`. */
  onInterim(bytes: Buffer, start: number, head: Head): void;
  /**
   * The final head, and the body's bytes that came with it, up to `bodyEnd`. The sink may give the connection up here.
   * @param whole the body is known to end with them, without trailers
   */
  onHead(bytes: Buffer, start: number, bodyEnd: number, head: Head, whole?: boolean): boolean;
  /** More of the body, framed as the head says: chunks and trailers with their lines. @param whole as of `onHead` */
  onBody(bytes: Buffer, start: number, end: number, whole?: boolean): boolean;
  /**
   * The response is whole. The sink calls `release` when it is done with the connection.
   * @param trailers lines with their CRLF, where the body came without a frame (`head.unframed`)
   */
  onComplete(trailers?: Buffer): void;
  /** 101, or 2xx to CONNECT: what follows is not HTTP. The sink takes the stream; `bytes[start, end)` came already. */
  onTunnel(bytes: Buffer, start: number, end: number): void;
  /**
   * It ended before the response did. `unprocessed`: the server has said that no application saw the request.
   * `errno` and `reason` are for people.
   */
  onBroken(reason: "closed" | "malformed" | "unprocessed", errno: string): void;
  /** The server takes more. */
  onUpstreamDrain(): void;
}

export interface Upstream {
  /** It is `sink`'s until it calls `release` or `close`. */
  begin(sink: ResponseSink): void;
  /**
   * Sends a request: `bytes[from, to)` is its head as it is to be sent, and what there is of its body.
   * @param head of that head; its offsets are of elsewhere
   * @returns whether the server keeps up; if not, wait for `onUpstreamDrain`
   */
  request(bytes: Buffer, from: number, to: number, head: Head): boolean;
  /** More of the request's body, framed as its head says. */
  write(bytes: Buffer, start: number, end: number): boolean;
  /** After a callback of the sink's returned false. */
  resume(): void;
  /** Gives it back after a whole exchange. @param reusable false where the request was not sent to its end */
  release(reusable: boolean): void;
  /** Breaks the exchange off. */
  close(): void;
  /** The stream goes on as something else. */
  detach(): ByteStream;
}
