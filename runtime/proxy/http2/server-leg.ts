import type { HeaderField } from "../../wire/hpack/field.ts";
import type { StreamHandler, StreamReset } from "../../wire/http2/stream.ts";

/** Who hears of a server's answer. */
export interface ResponseSink {
  onInterim(fields: readonly HeaderField[]): void;
  onResponse(fields: readonly HeaderField[], ended: boolean): void;
  onResponseData(bytes: Buffer, start: number, end: number, ended: boolean): void;
  onResponseTrailers(fields: readonly HeaderField[]): void;
  onServerWritable(): void;
  onServerClosed(reset: StreamReset | undefined): void;
}

/** The server's end of one try. */
export class ServerLeg implements StreamHandler {
  readonly #sink: ResponseSink;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  onInformational(fields: readonly HeaderField[]): void {
    this.#sink.onInterim(fields);
  }

  onHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    this.#sink.onResponse(fields, endStream);
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.#sink.onResponseData(bytes, start, end, endStream);
  }

  onTrailers(fields: readonly HeaderField[]): void {
    this.#sink.onResponseTrailers(fields);
  }

  onWritable(): void {
    this.#sink.onServerWritable();
  }

  onClose(reset: StreamReset | undefined): void {
    this.#sink.onServerClosed(reset);
  }
}
