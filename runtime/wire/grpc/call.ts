/** One gRPC call of a client: a request message, any number of response messages, a status. */
import { type HeaderField, literalField } from "../hpack/field.ts";
import { internField } from "../hpack/intern.ts";
import type { ClientConnection } from "../http2/client-connection.ts";
import { errorCode } from "../http2/protocol.ts";
import type { Http2Stream, StreamHandler, StreamReset } from "../http2/stream.ts";
import { MessageError, MessageReader } from "./message-reader.ts";
import { fieldValue, type GrpcStatus, grpcCode, OK, statusOfHttp, statusOfReset, statusOfTrailers } from "./status.ts";

export interface CallTarget {
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly path: string;
  readonly userAgent: string;
}

export interface CallEvents {
  /** `message` is valid during the call only. */
  onMessage(message: Buffer): void;
  /** Once, and last; not after {@link GrpcCall.cancel}. */
  onEnd(status: GrpcStatus): void;
}

export interface GrpcCall {
  /** Ends the call; nothing is told afterwards. */
  cancel(): void;
  /** No message is told until {@link resume}; the server may send as much as the stream's window allows meanwhile. */
  pause(): void;
  resume(): void;
}

export interface CallOptions {
  readonly target: CallTarget;
  /** The request, framed. */
  readonly request: Buffer;
  readonly events: CallEvents;
  readonly maxMessageBytes: number;
  /** Milliseconds; none: the call lives as long as both ends want it. */
  readonly timeoutMs?: number;
  /** The server did nothing with the request, which may be sent anew on another connection: once. @returns whether it will be */
  readonly again: (call: ClientCall) => boolean;
  /** The call no longer needs its channel. */
  readonly done: (call: ClientCall) => void;
}

const METHOD = internField(":method", "POST");
const CONTENT_TYPE = internField("content-type", "application/grpc");
const TE = internField("te", "trailers");
/** What `grpc-timeout` may say: eight digits. */
const MAX_TIMEOUT_MS = 99_999_999;

export class ClientCall implements GrpcCall, StreamHandler {
  readonly #options: CallOptions;
  readonly #reader: MessageReader;
  readonly #deadline: number | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  #stream: Http2Stream | undefined;
  /** How much of the request is sent. */
  #sent = 0;
  #status: GrpcStatus | undefined;
  /** The response is not gRPC's: its body is of no interest. */
  #foreign = false;
  #paused = false;
  #held: Buffer[] = [];
  #retried = false;
  #over = false;

  constructor(options: CallOptions) {
    this.#options = options;
    this.#reader = new MessageReader(options.maxMessageBytes);
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) {
      const limitMs = Math.min(timeoutMs, MAX_TIMEOUT_MS);
      this.#deadline = performance.now() + limitMs;
      this.#timer = setTimeout(() => {
        this.#abort({ code: grpcCode.deadlineExceeded, message: `no answer within ${timeoutMs} ms` });
      }, limitMs);
    }
  }

  /** Sends the request. @returns false while the connection takes no more streams */
  start(connection: ClientConnection): boolean {
    const { target } = this.#options;
    const fields: HeaderField[] = [
      METHOD,
      internField(":scheme", target.scheme),
      internField(":path", target.path),
      internField(":authority", target.authority),
      CONTENT_TYPE,
      TE,
      internField("user-agent", target.userAgent),
    ];
    if (this.#deadline !== undefined) {
      fields.push(literalField("grpc-timeout", `${Math.max(1, Math.ceil(this.#deadline - performance.now()))}m`));
    }
    this.#stream = connection.request(fields, false, this);
    if (this.#stream === undefined) return false;
    this.#sent = 0;
    this.onWritable();
    return true;
  }

  cancel(): void {
    this.#finish();
    this.#stream?.reset(errorCode.cancel);
  }

  /** Ends the call with a status of this end. */
  fail(status: GrpcStatus): void {
    this.#abort(status);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    while (this.#held.length > 0 && !this.#paused && !this.#over) {
      const bytes = this.#held.shift()!;
      this.#read(bytes, 0, bytes.length);
    }
    if (this.#status !== undefined && this.#held.length === 0) this.#end();
  }

  onInformational(): void {
    // Nothing that concerns gRPC.
  }

  onHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    const said = statusOfTrailers(fields);
    const http = Number(fieldValue(fields, ":status"));
    const type = fieldValue(fields, "content-type") ?? "none";
    const encoding = fieldValue(fields, "grpc-encoding") ?? "identity";
    if (endStream && said !== undefined) this.#status = said;
    else if (http !== 200) this.#refuse(statusOfHttp(http, `HTTP status ${http}`));
    else if (!/^application\/grpc($|[+;])/.test(type)) this.#refuse(statusOfHttp(http, `content type ${type}`));
    else if (encoding !== "identity") {
      this.#refuse({ code: grpcCode.internal, message: `encoding ${encoding}, which nobody allowed` });
    } else if (endStream) this.#status = { code: grpcCode.unknown, message: "an answer without status" };
    if (endStream) this.#remoteEnded();
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (this.#foreign) this.#stream?.consume(end - start);
    else if (this.#paused || this.#held.length > 0) {
      if (end > start) this.#held.push(Buffer.from(bytes.subarray(start, end)));
    } else this.#read(bytes, start, end);
    if (!endStream || this.#over) return;
    this.#status ??= { code: grpcCode.unknown, message: "the answer ended without a status" };
    this.#remoteEnded();
  }

  onTrailers(fields: readonly HeaderField[]): void {
    this.#status ??= statusOfTrailers(fields) ?? {
      code: grpcCode.unknown,
      message: "the answer ended without a status",
    };
    this.#remoteEnded();
  }

  onWritable(): void {
    const { request } = this.#options;
    const stream = this.#stream;
    if (stream !== undefined) this.#sent += stream.send(request, this.#sent, request.length, true);
  }

  onClose(reset: StreamReset | undefined): void {
    if (this.#over) return;
    this.#stream = undefined;
    if (this.#status !== undefined && reset === undefined) {
      if (this.#held.length === 0) this.#end();
      return;
    }
    if (reset?.unprocessed && !this.#retried) {
      this.#retried = true;
      if (this.#options.again(this)) return;
    }
    if (reset !== undefined) this.#abort(this.#status ?? statusOfReset(reset));
  }

  /** Takes messages until it is paused; what is left is held. */
  #read(bytes: Buffer, start: number, end: number): void {
    let at = start;
    try {
      while (at < end && !this.#paused && !this.#over) {
        at = this.#reader.take(bytes, at, end);
        if (this.#reader.message !== undefined) this.#options.events.onMessage(this.#reader.message);
      }
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      const code = error.tooLarge ? grpcCode.resourceExhausted : grpcCode.internal;
      this.#abort({ code, message: error.message });
      return;
    }
    if (this.#over) return;
    if (at < end) this.#held.unshift(Buffer.from(bytes.subarray(at, end)));
    this.#stream?.consume(at - start);
  }

  #refuse(status: GrpcStatus): void {
    this.#foreign = true;
    this.#status = status;
  }

  /** The server is through. Where it did not wait for the whole request, the rest is not sent. */
  #remoteEnded(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.localEnded) return;
    stream.reset(errorCode.cancel);
    this.#stream = undefined;
    if (this.#held.length === 0) this.#end();
  }

  #end(): void {
    if (this.#over || this.#paused) return;
    const status = this.#status ?? OK;
    if (status.code === grpcCode.ok && this.#reader.partial) {
      this.#abort({ code: grpcCode.internal, message: "the answer ended inside a message" });
      return;
    }
    this.#finish();
    this.#options.events.onEnd(status);
  }

  #abort(status: GrpcStatus): void {
    if (this.#over) return;
    this.#finish();
    this.#stream?.reset(errorCode.cancel);
    this.#options.events.onEnd(status);
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#held = [];
    clearTimeout(this.#timer);
    this.#options.done(this);
  }
}
