/** gRPC calls of a server with one request message and any number of answers, on one HTTP/2 connection. */
import { type HeaderField, literalField } from "../hpack/field.ts";
import { internField } from "../hpack/intern.ts";
import { errorCode } from "../http2/protocol.ts";
import { type Http2Stream, type StreamHandler, UNHANDLED } from "../http2/stream.ts";
import { frameMessage, MessageError, MessageReader } from "./message-reader.ts";
import { fieldValue, type GrpcStatus, grpcCode, percentEncode } from "./status.ts";

/** What a method does with a request; events of the call are set before it returns. */
export type ServeMethod = (call: ServerCall, request: Buffer) => void;

const STATUS_OK = internField(":status", "200");
const CONTENT_TYPE = internField("content-type", "application/grpc");
const NOT_GRPC = [internField(":status", "415")];

/** @param methods by path. @returns who takes a request, for a server connection's `onRequest` */
export function serveCalls(
  methods: ReadonlyMap<string, ServeMethod>,
  maxRequestBytes: number,
): (stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean) => StreamHandler {
  return (stream, fields, endStream) => {
    if (!/^application\/grpc($|[+;])/.test(fieldValue(fields, "content-type") ?? "")) {
      stream.sendHeaders(NOT_GRPC, true);
      if (!endStream) stream.reset(errorCode.noError);
      return UNHANDLED;
    }
    const call = new ServerCall(stream, methods.get(fieldValue(fields, ":path") ?? ""), maxRequestBytes);
    if (endStream) call.onData(Buffer.alloc(0), 0, 0, true);
    return call;
  };
}

export class ServerCall implements StreamHandler {
  /** More may be written, after `write` returned false. */
  onDrain: () => void = () => undefined;
  /** The client no longer wants it, or is gone. Not after {@link end}. */
  onCancel: () => void = () => undefined;
  readonly #stream: Http2Stream;
  readonly #serve: ServeMethod | undefined;
  readonly #reader: MessageReader;
  #request: Buffer | undefined;
  #answering = false;
  #queue: Buffer[] = [];
  /** How much of the queue's first is sent. */
  #sent = 0;
  #status: GrpcStatus | undefined;

  constructor(stream: Http2Stream, serve: ServeMethod | undefined, maxRequestBytes: number) {
    this.#stream = stream;
    this.#serve = serve;
    this.#reader = new MessageReader(maxRequestBytes);
  }

  /** @returns false where the client is behind: what is written is kept, but hold back until onDrain */
  write(message: Buffer): boolean {
    if (this.#status !== undefined || this.#stream.closed) return false;
    if (!this.#answering) {
      this.#answering = true;
      this.#stream.sendHeaders([STATUS_OK, CONTENT_TYPE], false);
    }
    this.#queue.push(frameMessage(message));
    this.#pump();
    return this.#queue.length === 0;
  }

  /** Ends the call, after what was written. */
  end(status: GrpcStatus): void {
    if (this.#status !== undefined) return;
    this.#status = status;
    this.#pump();
  }

  onInformational(): void {
    // Requests have none.
  }

  onHeaders(): void {
    // The head made this call.
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    try {
      for (let at = start; at < end && this.#status === undefined; ) {
        at = this.#reader.take(bytes, at, end);
        if (this.#reader.message === undefined) continue;
        if (this.#request !== undefined) this.#fail(grpcCode.unimplemented, "more than one request message");
        this.#request = Buffer.from(this.#reader.message);
      }
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.#fail(error.tooLarge ? grpcCode.resourceExhausted : grpcCode.internal, error.message);
    }
    this.#stream.consume(end - start);
    if (endStream) this.#begin();
  }

  onTrailers(): void {
    this.#begin();
  }

  onWritable(): void {
    this.#pump();
    if (this.#queue.length === 0 && this.#status === undefined) this.onDrain();
  }

  onClose(): void {
    const { onCancel } = this;
    this.#queue = [];
    if (this.#status !== undefined) return;
    this.#status = { code: grpcCode.cancelled, message: "" };
    onCancel();
  }

  #begin(): void {
    if (this.#status !== undefined) return;
    if (this.#serve === undefined) this.#fail(grpcCode.unimplemented, "no such method");
    else if (this.#request === undefined || this.#reader.partial) {
      this.#fail(grpcCode.internal, "the request has no whole message");
    } else this.#serve(this, this.#request);
  }

  #fail(code: number, message: string): void {
    this.end({ code, message });
  }

  #pump(): void {
    const stream = this.#stream;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      this.#sent += stream.send(first, this.#sent, first.length, false);
      if (this.#sent < first.length) return;
      this.#queue.shift();
      this.#sent = 0;
    }
    if (this.#status === undefined) return;
    const { code, message } = this.#status;
    const trailers = [
      internField("grpc-status", `${code}`),
      ...(message === "" ? [] : [literalField("grpc-message", percentEncode(message))]),
    ];
    stream.sendHeaders(this.#answering ? trailers : [STATUS_OK, CONTENT_TYPE, ...trailers], true);
    // The rest of a request that was refused is of no interest (RFC 9113, 8.1).
    if (!stream.remoteEnded) stream.reset(errorCode.noError);
  }
}
