/** What a parsed head leaves behind: numbers and offsets, and the ranges of bytes that are to be forwarded. */

/** How a message's body ends (RFC 9112, 6.3). */
export type BodyKind = "none" | "length" | "chunked" | "close" | "tunnel";

export const MAX_HEAD_BYTES = 65_536;
const MAX_RANGES = 128;

/** What parseHead found. Offsets are into the buffer that was parsed. */
export class Head {
  /** Interned for the usual ones. */
  method = "";
  targetStart = 0;
  targetEnd = 0;
  status = 0;
  /** HTTP/1.x */
  minorVersion = 1;
  bodyKind: BodyKind = "none";
  /** For `length`. */
  contentLength = 0;
  /** The sender ends the connection after this message. */
  close = false;
  /** Connection: upgrade is present, with an Upgrade header. */
  upgrade = false;
  expectContinue = false;
  hasHost = false;
  hostStart = 0;
  hostEnd = 0;
  /** A header of the mesh's own that was cut out: `weft-not-delivered`. */
  notDelivered = false;
  /** `l5d-proxy-connection: close` was cut out. */
  proxyConnectionClose = false;
  /** Where a body ends is known though the head does not say: it came over HTTP/2. `bodyKind` is `close`. */
  unframed = false;
  /** It has l5d-require-id. */
  directed = false;
  /** Whether content-type is application/grpc…: errors then are gRPC's. */
  grpc = false;
  /** [start, end) pairs of bytes to forward, the empty line not among them. */
  readonly ranges = new Int32Array(MAX_RANGES * 2);
  rangeCount = 0;
  /** Just past the empty line. */
  end = 0;

  reset(): void {
    this.method = "";
    this.status = 0;
    this.bodyKind = "none";
    this.contentLength = 0;
    this.close = false;
    this.upgrade = false;
    this.expectContinue = false;
    this.hasHost = false;
    this.notDelivered = false;
    this.proxyConnectionClose = false;
    this.unframed = false;
    this.grpc = false;
    this.directed = false;
    this.rangeCount = 0;
  }
}

/** Remembers bytes to forward. False where the head has too many pieces. */
export function keep(head: Head, from: number, to: number): boolean {
  if (from >= to) return true;
  if (head.rangeCount >= MAX_RANGES) return false;
  head.ranges[head.rangeCount * 2] = from;
  head.ranges[head.rangeCount * 2 + 1] = to;
  head.rangeCount++;
  return true;
}

/** Copies what is to be forwarded of a head into `target` at `at`, without the empty line. @returns the new end */
export function copyHead(bytes: Buffer, head: Head, target: Buffer, at: number): number {
  for (let index = 0; index < head.rangeCount; index++) {
    at += bytes.copy(target, at, head.ranges[index * 2], head.ranges[index * 2 + 1]);
  }
  return at;
}
