/**
 * Those who watch exchanges without deciding anything: tap, access log, tracing. A client's connection of either version of HTTP asks
 * `observed` for each request, one comparison while nobody watches; what `open` returns hears of the exchange until its end.
 */
import type { Labels } from "../metrics/series.ts";
import type { Address } from "../transport/stream.ts";
import type { HeaderList, RequestHead } from "./request-head.ts";
import type { HeadEdits, RouteRule } from "./route-rule.ts";

/** The client of a connection, as those who watch tell of it. */
export interface ObservedClient {
  readonly direction: "inbound" | "outbound";
  readonly address: Address;
  /** `tls`, `client_id`… (reference 7.2). */
  readonly labels: Labels;
  /** First SAN of its verified leaf. */
  readonly identity: string | undefined;
}

/** Where a request goes, as those who watch tell of it. */
export interface ObservedServer {
  readonly address: Address;
  /** `tls`, `server_id`, `dst_*`. */
  readonly labels: Labels;
}

/** How one try of a request, or all of it, ended. */
export interface ExchangeEnd {
  /** Of the response's body, as it came. */
  readonly responseBytes: number;
  /** HTTP/2 error code, where it was broken off. */
  readonly reset?: number | undefined;
  /** undefined: not gRPC's, or it said none. */
  readonly grpcStatus?: number | undefined;
  readonly trailers?: HeaderList | undefined;
}

export interface Observation {
  /** What is changed of the request's head as it is sent on, by every try. */
  readonly edits: HeadEdits | undefined;
  /** A try of the request goes to `server` by `rule`; `left` follows once. */
  sent(server: ObservedServer, rule: RouteRule | undefined): void;
  /** The try is over: its response is whole, or it was broken off. */
  left(end: ExchangeEnd): void;
  /** The head of the answer that the client gets, of a server or the proxy's own. At most once. `headers` is called at once or never. */
  response(status: number, headers: () => HeaderList): void;
  /** The client has its answer, or will get none. Once, and nothing follows. @param status 0: none */
  ended(status: number): void;
}

/** Of one client's connection. */
export interface ExchangeObserver {
  /** Whether somebody may want to see the next request. */
  readonly observed: boolean;
  /** What `request` says is copied where it is needed longer. undefined: nobody wants to see it */
  open(request: RequestHead): Observation | undefined;
}
