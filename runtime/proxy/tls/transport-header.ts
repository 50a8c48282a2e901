/** The header that opens a direct connection between proxies (reference 5.6). */
import { Header } from "../../api/gen/transport/l5d/io/header.ts";

const PREFACE = Buffer.from("transport.l5d.io/v1\r\n\r\n");
const MAX_BYTES = 65_536;

export interface TransportHeader {
  /** The port that the connection is for. */
  readonly port: number;
  /** Authority, for gateways only. */
  readonly name: string;
  /** What the client knows the bytes to be; undefined: opaque. */
  readonly protocol: "http1" | "http2" | undefined;
}

/** Preface, length and header. */
export function encodeTransportHeader(header: { port: number; protocol?: "http1" | "http2" | undefined }): Buffer {
  const kind = header.protocol === undefined ? undefined : { kind: { $case: header.protocol, value: {} } as const };
  const body = Header.encode({ port: header.port, name: "", sessionProtocol: kind }).finish();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([PREFACE, length, body]);
}

/**
 * Reads the header at the start of `bytes`.
 * @returns the header and the offset after it, or what is missing or wrong
 */
export function decodeTransportHeader(
  bytes: Buffer,
): { header: TransportHeader; end: number } | "incomplete" | "malformed" {
  const seen = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, seen, 0, seen) !== 0) return "malformed";
  if (bytes.length < PREFACE.length + 4) return "incomplete";
  const length = bytes.readUInt32BE(PREFACE.length);
  if (length > MAX_BYTES) return "malformed";
  const start = PREFACE.length + 4;
  if (bytes.length < start + length) return "incomplete";
  let header: Header;
  try {
    header = Header.decode(bytes.subarray(start, start + length));
  } catch {
    // Whatever the decoder dislikes, the peer speaks another language.
    return "malformed";
  }
  if (header.port < 1 || header.port > 65_535) return "malformed";
  const protocol = header.sessionProtocol?.kind?.$case;
  return { header: { port: header.port, name: header.name, protocol }, end: start + length };
}
