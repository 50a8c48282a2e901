/** One request to the aggregated API, over HTTP/1.1 or HTTP/2 alike. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { User } from "./request-header.ts";
import { StatusError, statusBody } from "./status.ts";

export type AnyRequest = IncomingMessage | Http2ServerRequest;
export type AnyResponse = ServerResponse | Http2ServerResponse;

/**
 * Who is at the other end: the API server for a user, another replica of this process (which has reviewed the user's
 * rights itself), or somebody else, who may read what is public (discovery, health).
 */
export type Peer =
  | { readonly kind: "user"; readonly user: User }
  | { readonly kind: "replica" }
  | { readonly kind: "anonymous"; readonly reason: string };

export class Exchange {
  readonly method: string;
  readonly url: URL;
  readonly accept: string;
  readonly peer: Peer;
  /** Aborts when the client has gone, or the server ends. */
  readonly signal: AbortSignal;
  readonly request: AnyRequest;

  readonly #response: AnyResponse;
  readonly #gone = new AbortController();
  #full = false;

  constructor(request: AnyRequest, response: AnyResponse, peer: Peer, serverSignal: AbortSignal) {
    this.request = request;
    this.#response = response;
    this.peer = peer;
    this.method = request.method ?? "GET";
    const target = request.url ?? "/";
    // Never a host of the client's: `//x` is a path here. Other forms (`*`, absolute) name nothing that is served.
    this.url = new URL(`https://weft-viz${target.startsWith("/") ? target : `/${encodeURIComponent(target)}`}`);
    this.accept = String(request.headers.accept ?? "");
    this.signal = AbortSignal.any([this.#gone.signal, serverSignal]);
    response.on("close", () => this.#gone.abort());
    response.on("error", () => this.#gone.abort());
  }

  /** Has the answer's head been sent? */
  get answered(): boolean {
    return this.#response.headersSent;
  }

  /** @throws StatusError BadRequest, RequestEntityTooLarge */
  async readBody(maxBytes: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw new StatusError("RequestEntityTooLarge", `the body exceeds ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  json(status: number, body: unknown, contentType = "application/json"): void {
    this.send(status, contentType, JSON.stringify(body));
  }

  send(status: number, contentType: string, body: string | Uint8Array, headers: Record<string, string> = {}): void {
    if (this.#gone.signal.aborted) return;
    this.head(status, { ...headers, "content-type": contentType, "content-length": String(Buffer.byteLength(body)) });
    this.#response.end(body);
  }

  fail(error: StatusError): void {
    if (this.answered) this.abort();
    else this.json(error.code, statusBody(error));
  }

  /** Begins an answer without known length. */
  head(status: number, headers: Readonly<Record<string, string>>): void {
    const response = this.#response;
    response.statusCode = status;
    for (const [name, value] of Object.entries({ "cache-control": "no-cache, private", ...headers })) {
      response.setHeader(name, value);
    }
    (response as ServerResponse).flushHeaders();
  }

  /** Bytes written and not yet taken by the connection. */
  get pendingBytes(): number {
    return "stream" in this.#response ? (this.#response.stream?.writableLength ?? 0) : this.#response.writableLength;
  }

  write(chunk: string | Uint8Array): void {
    if (this.#gone.signal.aborted) return;
    // Both kinds of response take both; their declared overloads do not agree.
    this.#full = !(this.#response as ServerResponse).write(chunk);
  }

  /** Waits while more is written than the connection takes; ends when the client is gone. */
  async drained(): Promise<void> {
    if (!this.#full || this.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#response.off("drain", done);
        this.signal.removeEventListener("abort", done);
        resolve();
      };
      this.#response.once("drain", done);
      this.signal.addEventListener("abort", done, { once: true });
    });
    this.#full = false;
  }

  end(): void {
    if (!this.#gone.signal.aborted) this.#response.end();
  }

  /** Breaks an answer off, so that the client does not take it for whole. */
  abort(): void {
    if ("stream" in this.#response) this.#response.stream?.close(INTERNAL_ERROR);
    else this.#response.destroy();
  }
}

/** HTTP/2's INTERNAL_ERROR. */
const INTERNAL_ERROR = 2;
