import type { HeaderField } from "../hpack/field.ts";
import type { Http2Connection } from "./connection.ts";
import { areTrailers } from "./message-rules.ts";
import { errorCode } from "./protocol.ts";
import type { Http2Stream } from "./stream.ts";

/** What came as headers after a message's head: trailers, which end it, or a mistake (RFC 9113, 8.1). */
export function takeTrailers(
  connection: Http2Connection,
  stream: Http2Stream,
  fields: readonly HeaderField[],
  endStream: boolean,
): void {
  if (!endStream || !areTrailers(fields)) {
    connection.refuse(stream, errorCode.protocolError, "malformed trailers (RFC 9113, 8.1)");
  } else if (stream.breaksLength(0, true)) {
    connection.refuse(stream, errorCode.protocolError, "a body of another length than announced (RFC 9113, 8.1.1)");
  } else {
    stream.remoteEnded = true;
    stream.handler.onTrailers(fields);
    connection.endRemote(stream);
  }
}
