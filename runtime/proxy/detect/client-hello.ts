/** Reads a TLS ClientHello without consuming it (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301). */

/** What a proxy wants to know of it. */
export interface ClientHello {
  /** Lower case; undefined where the client sent none. */
  readonly serverName: string | undefined;
  readonly protocols: readonly string[];
}

export type HelloResult = ClientHello | "incomplete" | "not-tls";

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
/** A ClientHello with post-quantum key shares is under 2 KiB; anything beyond this is no hello. */
const MAX_HELLO_BYTES = 16_384;

/** @param bytes all that the client has sent so far */
export function readClientHello(bytes: Buffer): HelloResult {
  const hello = handshakeMessage(bytes);
  if (typeof hello === "string") return hello;
  try {
    return parseHello(hello);
  } catch (error) {
    if (error instanceof RangeError) return "not-tls";
    throw error;
  }
}

/** The handshake message, out of as many records as it was put into. */
function handshakeMessage(bytes: Buffer): Buffer | "incomplete" | "not-tls" {
  const parts: Buffer[] = [];
  let have = 0;
  for (let at = 0; ; ) {
    if (bytes.length > at && bytes[at] !== HANDSHAKE) return "not-tls";
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) return "not-tls";
    if (bytes.length < at + 5) return "incomplete";
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_HELLO_BYTES) return "not-tls";
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    at += 5 + length;
    const message = parts.length === 1 ? part : Buffer.concat(parts);
    if (have > 0 && message[0] !== CLIENT_HELLO) return "not-tls";
    if (have >= 4) {
      const wanted = 4 + message.readUIntBE(1, 3);
      if (wanted > MAX_HELLO_BYTES) return "not-tls";
      if (have >= wanted) return message.subarray(4, wanted);
    }
    if (part.length < length) return "incomplete";
  }
}

/** @throws RangeError where a length leads out of the message */
function parseHello(hello: Buffer): ClientHello {
  let at = 2 + 32;
  at += 1 + hello.readUInt8(at);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello.readUInt8(at);
  let serverName: string | undefined;
  const protocols: string[] = [];
  if (at === hello.length) return { serverName, protocols };
  const end = at + 2 + hello.readUInt16BE(at);
  if (end > hello.length) throw new RangeError("extensions");
  at += 2;
  while (at < end) {
    const type = hello.readUInt16BE(at);
    const length = hello.readUInt16BE(at + 2);
    const value = hello.subarray(at + 4, at + 4 + length);
    if (value.length < length) throw new RangeError("extension");
    if (type === SERVER_NAME && length > 5 && value[2] === 0) {
      serverName = value.toString("latin1", 5, 5 + value.readUInt16BE(3)).toLowerCase();
    } else if (type === ALPN) {
      for (let from = 2; from < length; from += 1 + value.readUInt8(from)) {
        protocols.push(value.toString("latin1", from + 1, from + 1 + value.readUInt8(from)));
      }
    }
    at += 4 + length;
  }
  return { serverName, protocols };
}
