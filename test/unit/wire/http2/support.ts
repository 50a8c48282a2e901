/** Frames by hand, and a client connection whose other end is the test. */
import { HpackEncoder } from "../../../../runtime/wire/hpack/encoder.ts";
import type { HeaderField } from "../../../../runtime/wire/hpack/field.ts";
import { internField } from "../../../../runtime/wire/hpack/intern.ts";
import { ClientConnection } from "../../../../runtime/wire/http2/client-connection.ts";
import type { FrameHandler } from "../../../../runtime/wire/http2/frame-handler.ts";
import { FrameParser } from "../../../../runtime/wire/http2/frame-parser.ts";
import { flag, frameType, PREFACE } from "../../../../runtime/wire/http2/protocol.ts";
import { ServerConnection } from "../../../../runtime/wire/http2/server-connection.ts";
import { INITIAL_SETTINGS, type Settings } from "../../../../runtime/wire/http2/settings.ts";
import type { Http2Stream, StreamHandler, StreamReset } from "../../../../runtime/wire/http2/stream.ts";

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export function number32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}

export function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

export function fieldsOf(...pairs: readonly [name: string, value: string][]): HeaderField[] {
  return pairs.map(([name, value]) => internField(name, value));
}

/** A header block of literals, which touches no table. */
export function block(...pairs: readonly [name: string, value: string][]): Buffer {
  const encoder = new HpackEncoder({ maxTableBytes: 0 });
  const fields = fieldsOf(...pairs);
  const out = Buffer.alloc(HpackEncoder.bound(fields));
  // Without the update that says there is no table.
  encoder.encode([], out, 0);
  return Buffer.from(out.subarray(0, encoder.encode(fields, out, 0)));
}

export const SETTINGS = frame(frameType.settings, 0, 0);
export const END = flag.endHeaders | flag.endStream;

/** Everything a parser tells, with DATA of one frame put together. */
export class FrameLog implements FrameHandler {
  readonly lines: string[] = [];
  #data = "";

  onDataFrame(streamId: number, length: number): void {
    this.lines.push(`data frame ${streamId} ${length}`);
    this.#data = "";
  }
  onData(streamId: number, bytes: Buffer, start: number, end: number, last: boolean, endStream: boolean): void {
    this.#data += bytes.toString("hex", start, end);
    if (last) this.lines.push(`data ${streamId} ${this.#data} ${endStream}`);
  }
  onHeaderBlock(id: number, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.lines.push(`headers ${id} ${bytes.toString("hex", start, end)} ${endStream}`);
  }
  onReset(streamId: number, code: number): void {
    this.lines.push(`reset ${streamId} ${code}`);
  }
  onSettings(bytes: Buffer, start: number, end: number): void {
    this.lines.push(`settings ${bytes.toString("hex", start, end)}`);
  }
  onSettingsAck(): void {
    this.lines.push("settings ack");
  }
  onPing(bytes: Buffer, start: number, ack: boolean): void {
    this.lines.push(`ping ${bytes.toString("hex", start, start + 8)} ${ack}`);
  }
  onGoAway(last: number, code: number, bytes: Buffer, start: number, end: number): void {
    this.lines.push(`goaway ${last} ${code} ${bytes.toString("latin1", start, end)}`);
  }
  onWindowUpdate(streamId: number, increment: number): void {
    this.lines.push(`window ${streamId} ${increment}`);
  }
  onIgnored(): void {
    this.lines.push("ignored");
  }
}

/** Remembers what came on a stream. */
export class StreamLog implements StreamHandler {
  readonly lines: string[] = [];
  body = "";
  writable = 0;
  /** undefined while open, null after a good end. */
  reset: StreamReset | null | undefined;

  onInformational(fields: readonly HeaderField[]): void {
    this.lines.push(`informational ${fields[0]?.value}`);
  }
  onHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    this.lines.push(`headers ${fields.map(({ name, value }) => `${name}=${value}`).join(" ")} ${endStream}`);
  }
  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.body += bytes.toString("latin1", start, end);
    if (endStream) this.lines.push("end");
  }
  onTrailers(fields: readonly HeaderField[]): void {
    this.lines.push(`trailers ${fields.map(({ name, value }) => `${name}=${value}`).join(" ")}`);
  }
  onWritable(): void {
    this.writable++;
  }
  onClose(reset: StreamReset | undefined): void {
    this.reset = reset ?? null;
  }
}

export const REQUEST = fieldsOf([":method", "POST"], [":scheme", "http"], [":path", "/"], [":authority", "a"]);

/** A client whose server is the test: what it sends is in `sent`, frame by frame. */
export class Client {
  readonly http2: ClientConnection;
  readonly sent: FrameLog = new FrameLog();
  readonly goneAway: string[] = [];
  closedWith: Error | undefined | "open" = "open";
  pings = 0;
  clock = 0;
  readonly #parser = new FrameParser(this.sent, { maxHeaderBlockBytes: 1e6, preface: true });

  constructor(settings: Partial<Settings> = {}) {
    this.http2 = new ClientConnection({
      settings: { ...INITIAL_SETTINGS, maxHeaderListBytes: 16_384, ...settings },
      connectionWindow: 1_000_000,
      maxHeaderBlockBytes: 32_768,
      now: () => this.clock,
      events: {
        onOutput: () => undefined,
        onGoAway: (_, reason) => this.goneAway.push(reason),
        onPingAck: () => {
          this.pings++;
        },
        onIdle: () => undefined,
        onSettings: () => undefined,
        onClose: (error) => {
          this.closedWith = error;
        },
      },
    });
    this.flush();
  }

  flush(): void {
    this.http2.flush((bytes, start, end) => this.#parser.feed(bytes, start, end));
  }

  receive(...frames: Buffer[]): void {
    const bytes = Buffer.concat(frames);
    this.http2.receive(bytes, 0, bytes.length);
    this.flush();
  }

  /** The GOAWAY that was sent, or nothing. */
  get goAway(): string | undefined {
    return this.sent.lines.find((line) => line.startsWith("goaway"));
  }
}

/** A client after SETTINGS, with one request whose head is sent. */
export function requesting(settings: Partial<Settings> = {}): { client: Client; log: StreamLog } {
  const client = new Client(settings);
  const log = new StreamLog();
  client.receive(SETTINGS);
  client.http2.request(REQUEST, true, log);
  client.flush();
  return { client, log };
}

/** A server whose client is the test; requests wait in `requests`, or are answered by `answer`. */
export class Server {
  readonly http2: ServerConnection;
  readonly sent: FrameLog = new FrameLog();
  readonly requests: { stream: Http2Stream; log: StreamLog; head: string; endStream: boolean }[] = [];
  answer: ((stream: Http2Stream) => void) | undefined;
  closedWith: Error | undefined | "open" = "open";
  clock = 0;
  readonly #parser = new FrameParser(this.sent, { maxHeaderBlockBytes: 1e6, preface: false });

  constructor(settings: Partial<Settings> = {}) {
    this.http2 = new ServerConnection({
      settings: { ...INITIAL_SETTINGS, maxHeaderListBytes: 16_384, maxConcurrentStreams: 10, ...settings },
      connectionWindow: 65_535,
      maxHeaderBlockBytes: 32_768,
      now: () => this.clock,
      onRequest: (stream, fields, endStream) => {
        const log = new StreamLog();
        const head = fields.map(({ name, value }) => `${name}=${value}`).join(" ");
        this.requests.push({ stream, log, head, endStream });
        this.answer?.(stream);
        return log;
      },
      events: {
        onOutput: () => undefined,
        onGoAway: () => undefined,
        onPingAck: () => undefined,
        onIdle: () => undefined,
        onSettings: () => undefined,
        onClose: (error) => {
          this.closedWith = error;
        },
      },
    });
    this.receive(PREFACE, SETTINGS);
  }

  receive(...frames: Buffer[]): void {
    const bytes = Buffer.concat(frames);
    this.http2.receive(bytes, 0, bytes.length);
    this.flush();
  }

  flush(): void {
    this.http2.flush((bytes, start, end) => this.#parser.feed(bytes, start, end));
  }

  get goAway(): string | undefined {
    return this.sent.lines.find((line) => line.startsWith("goaway"));
  }
}
