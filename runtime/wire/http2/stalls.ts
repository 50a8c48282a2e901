import type { Http2Connection } from "./connection.ts";
import { errorCode } from "./protocol.ts";

/** So often in a row a stream's handler is found to have taken nothing: with looks 2 s apart, longer than a slow receiver of many streams leaves one of them waiting. */
const MOST_LOOKS = 10;

/**
 * Ends streams whose receivers take nothing while what is kept for them holds up all others of the connection (RFC 9113, 10.5): a
 * window that stays shut must not be anybody else's trouble. As long as there is room, a receiver may wait as long as it likes.
 * Call it every few seconds.
 */
export function shedStalled(connection: Http2Connection): void {
  if (!connection.heldUp) return;
  for (const stream of connection.streams.all()) {
    if (stream.look() < MOST_LOOKS) continue;
    connection.resetStream(stream, errorCode.cancel);
    const reason = "its receiver takes nothing of it, and holds up others";
    stream.handler.onClose({ code: errorCode.enhanceYourCalm, reason, unprocessed: false, lost: false });
  }
}
