/** A request's head that lasts: for who asks of it again when its connection has gone on to other bytes. */
import type { HeaderList, RequestHead } from "./request-head.ts";

export class RequestCopy implements RequestHead {
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly path: string;
  readonly query: string;
  readonly version: RequestHead["version"];
  readonly grpc: boolean;
  readonly #host: string | undefined;
  readonly #headers: HeaderList;

  constructor(request: RequestHead) {
    this.method = request.method;
    this.scheme = request.scheme;
    this.authority = request.authority;
    this.path = request.path;
    this.query = request.query;
    this.version = request.version;
    this.grpc = request.grpc;
    this.#host = request.header("host");
    this.#headers = request.headers();
  }

  header(name: string): string | undefined {
    return name === "host" ? this.#host : this.#headers.find(([field]) => field === name)?.[1];
  }

  headers(): HeaderList {
    return this.#headers;
  }
}
