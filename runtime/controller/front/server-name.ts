/** The name a TLS client asks for (SNI), read from the first bytes of its connection (RFC 8446, 4.1.2; RFC 6066, 3). */

/** `undefined` inside: a ClientHello that names nobody. */
export type ServerName =
  | { readonly kind: "name"; readonly name: string | undefined }
  | { readonly kind: "more" }
  | { readonly kind: "invalid" };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER = 5;
const SERVER_NAME = 0;
/** A ClientHello with post-quantum key shares is about 2 KB. */
const MAX_HELLO = 16 * 1024;

/** @param bytes all that has arrived so far */
export function readServerName(bytes: Buffer): ServerName {
  const hello = collectHello(bytes);
  if (typeof hello === "string") return { kind: hello };
  try {
    return { kind: "name", name: findServerName(new Reader(hello)) };
  } catch (error) {
    if (error instanceof RangeError) return { kind: "invalid" };
    throw error;
  }
}

/** The handshake message without its header, put together from as many records as it takes. */
function collectHello(bytes: Buffer): Buffer | "more" | "invalid" {
  const parts: Buffer[] = [];
  let collected = 0;
  for (let at = 0; ; ) {
    if (bytes.length > at && bytes[at] !== HANDSHAKE) return "invalid";
    if (bytes.length < at + RECORD_HEADER) return "more";
    const length = bytes.readUInt16BE(at + 3);
    const part = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length);
    parts.push(part);
    collected += part.length;
    const message = parts.length === 1 ? part : Buffer.concat(parts);
    if (message.length >= 4) {
      if (message[0] !== CLIENT_HELLO) return "invalid";
      const size = message.readUIntBE(1, 3);
      if (size > MAX_HELLO) return "invalid";
      if (message.length >= 4 + size) return message.subarray(4, 4 + size);
    }
    if (part.length < length || length === 0) return length === 0 || collected > MAX_HELLO ? "invalid" : "more";
    at += RECORD_HEADER + length;
  }
}

function findServerName(hello: Reader): string | undefined {
  hello.skip(2 + 32);
  hello.skip(hello.number(1));
  hello.skip(hello.number(2));
  hello.skip(hello.number(1));
  if (hello.done) return undefined;
  const extensions = new Reader(hello.take(hello.number(2)));
  while (!extensions.done) {
    const type = extensions.number(2);
    const body = new Reader(extensions.take(extensions.number(2)));
    if (type !== SERVER_NAME) continue;
    const names = new Reader(body.take(body.number(2)));
    while (!names.done) {
      const nameType = names.number(1);
      const name = names.take(names.number(2));
      if (nameType === 0) return name.toString("ascii").toLowerCase();
    }
  }
  return undefined;
}

/** Reads big-endian fields; RangeError past the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(size: 1 | 2): number {
    return this.take(size).readUIntBE(0, size);
  }

  skip(length: number): void {
    this.take(length);
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new RangeError("past the end");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
