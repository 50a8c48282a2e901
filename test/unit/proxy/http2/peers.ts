/** A client and servers on the wire of HTTP/2, which a test steps: each sends, reads and gives up as its plan says. */
import assert from "node:assert/strict";
import type { ByteStream, StreamOwner } from "../../../../runtime/proxy/transport/stream.ts";
import type { HeaderField } from "../../../../runtime/wire/hpack/field.ts";
import { internField } from "../../../../runtime/wire/hpack/intern.ts";
import { ClientConnection } from "../../../../runtime/wire/http2/client-connection.ts";
import type { ConnectionEvents } from "../../../../runtime/wire/http2/connection-options.ts";
import { ServerConnection } from "../../../../runtime/wire/http2/server-connection.ts";
import { INITIAL_SETTINGS } from "../../../../runtime/wire/http2/settings.ts";
import type { Http2Stream, StreamHandler, StreamReset } from "../../../../runtime/wire/http2/stream.ts";

export type Fields = Readonly<Record<string, string>>;

export function fieldsOf(fields: Fields): HeaderField[] {
  return Object.entries(fields).map(([name, value]) => internField(name, value));
}

function textOf(fields: readonly HeaderField[]): Record<string, string> {
  return Object.fromEntries(fields.map(({ name, value }) => [name, value]));
}

/** Numbers that a seed decides: below `below`. */
export type Random = (below: number) => number;

export function random(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Octet `index` of the body that belongs to `key`. */
const octet = (key: number, index: number): number => (key * 31 + index * 7 + (index >> 8)) & 0xff;

export function bodyOf(key: number, from: number, to: number): Buffer {
  const bytes = Buffer.allocUnsafe(to - from);
  for (let index = from; index < to; index++) bytes[index - from] = octet(key, index);
  return bytes;
}

/** `open`: nothing ends it. */
export interface Sends {
  readonly key: number;
  readonly bytes: number;
  readonly trailers: Fields | undefined;
  readonly open?: boolean;
}

/** One end's half of an exchange: a body to send, whatever comes, and how it ended. */
export class Talk implements StreamHandler {
  stream: Http2Stream | undefined;
  readonly #random: Random;
  readonly #sends: Sends;
  readonly #expects: number;
  #sent = 0;
  #blocked = false;
  #sentAll = false;
  #uncredited = 0;
  informational: string[] = [];
  head: Record<string, string> | undefined;
  received = 0;
  trailers: Record<string, string> | undefined;
  /** The other end has said all. */
  whole = false;
  reset: StreamReset | undefined;
  over = false;
  reads = true;

  /** @param expects key of the body that comes */
  constructor(random: Random, sends: Sends, expects: number) {
    this.#random = random;
    this.#sends = sends;
    this.#expects = expects;
  }

  /** The head alone was all it says. */
  saidAll(): void {
    this.#sentAll = true;
  }

  get said(): boolean {
    return this.#sentAll;
  }

  get sentBytes(): number {
    return this.#sent;
  }

  /** Credits some of what came. @returns whether there was any */
  read(): boolean {
    if (!this.reads || this.#uncredited === 0 || this.stream === undefined || this.over) return false;
    if (this.#random(3) > 0) {
      const some = 1 + this.#random(this.#uncredited);
      this.#uncredited -= some;
      this.stream.consume(some);
    }
    return true;
  }

  /** Sends and reads a little. @returns whether it did anything */
  step(): boolean {
    const { stream } = this;
    if (stream === undefined || this.over) return false;
    const did = this.read();
    if (this.#sentAll || this.#blocked) return did;
    const { key, bytes, trailers, open = false } = this.#sends;
    const end = Math.min(bytes, this.#sent + 1 + this.#random(40_000));
    const piece = bodyOf(key, this.#sent, end);
    const last = end === bytes && trailers === undefined && !open;
    if (piece.length > 0 || last) {
      const taken = stream.send(piece, 0, piece.length, last);
      this.#sent += taken;
      this.#blocked = taken < piece.length;
    }
    if (this.#sent < bytes || this.#blocked) return true;
    if (open) return did;
    if (trailers !== undefined) stream.sendHeaders(fieldsOf(trailers), true);
    this.#sentAll = true;
    return true;
  }

  onInformational(fields: readonly HeaderField[]): void {
    assert.equal(this.over || this.head !== undefined, false, "an interim answer after the head");
    this.informational.push(textOf(fields)[":status"] ?? "");
  }

  onHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    assert.equal(this.head, undefined, "two heads");
    this.head = textOf(fields);
    this.whole = endStream;
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    assert.equal(this.over || this.whole, false, "bytes after the end");
    const expected = bodyOf(this.#expects, this.received, this.received + end - start);
    assert.ok(bytes.subarray(start, end).equals(expected), `other bytes than were sent, at ${this.received}`);
    this.received += end - start;
    this.#uncredited += end - start;
    this.whole = endStream;
  }

  onTrailers(fields: readonly HeaderField[]): void {
    assert.equal(this.over || this.whole, false, "trailers after the end");
    this.trailers = textOf(fields);
    this.whole = true;
  }

  onWritable(): void {
    this.#blocked = false;
  }

  onClose(reset: StreamReset | undefined): void {
    assert.equal(this.over, false, "closed twice");
    this.over = true;
    this.reset = reset;
  }
}

/** Puts a connection of the wire on a stream. */
export class WireEnd implements StreamOwner {
  readonly stream: ByteStream & { closed: boolean; ended: boolean };
  closed = false;
  goneAway = false;
  #dirty = true;
  #writable = true;
  http2: ClientConnection | ServerConnection | undefined;

  constructor(stream: ByteStream & { closed: boolean; ended: boolean }) {
    this.stream = stream;
    stream.owner = this;
  }

  get events(): ConnectionEvents {
    return {
      onOutput: () => {
        this.#dirty = true;
      },
      onGoAway: () => {
        this.goneAway = true;
      },
      onPingAck: () => undefined,
      onIdle: () => undefined,
      onSettings: () => undefined,
      onClose: () => {
        this.closed = true;
        this.#dirty = true;
      },
    };
  }

  flush(): boolean {
    if (!this.#dirty || !this.#writable || this.stream.closed || this.stream.ended) return false;
    this.#dirty = false;
    this.http2?.flush((bytes, start, end) => {
      if (!this.stream.write(bytes, start, end)) this.#writable = false;
    });
    if (this.closed) this.stream.close();
    return true;
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.http2?.receive(buffer, start, end);
  }
  onEnd(): void {
    this.http2?.close(new Error("half-closed"));
  }
  onDrain(): void {
    this.#writable = true;
  }
  onClose(): void {
    this.http2?.close(new Error("closed"));
  }
}

export function wireClient(
  stream: WireEnd["stream"],
  initialWindow: number,
  connectionWindow: number,
): { end: WireEnd; http2: ClientConnection } {
  const end = new WireEnd(stream);
  const http2 = new ClientConnection({
    settings: { ...INITIAL_SETTINGS, initialWindow },
    connectionWindow,
    maxHeaderBlockBytes: 65_536,
    events: end.events,
  });
  end.http2 = http2;
  return { end, http2 };
}

export function wireServer(
  stream: WireEnd["stream"],
  options: {
    maxConcurrentStreams: number;
    onRequest: (stream: Http2Stream, head: Record<string, string>, ended: boolean) => StreamHandler;
  },
): { end: WireEnd; http2: ServerConnection } {
  const end = new WireEnd(stream);
  const http2 = new ServerConnection({
    settings: { ...INITIAL_SETTINGS, maxConcurrentStreams: options.maxConcurrentStreams },
    connectionWindow: 100_000,
    maxHeaderBlockBytes: 65_536,
    events: end.events,
    onRequest: (http2Stream, fields, ended) => options.onRequest(http2Stream, textOf(fields), ended),
  });
  end.http2 = http2;
  return { end, http2 };
}
