/** What a client's HTTP connection, of either version, asks of the side it belongs to: where each request goes, and who hears of it. */
import type { Outcome } from "../balance/breaker.ts";
import type { Upstream } from "../http1/upstream.ts";
import type { Http2Upstreams } from "../http2/upstreams.ts";
import type { HttpSeries, TcpSeries } from "../metrics/series.ts";
import type { Audience, Refusal } from "./failure.ts";
import type { Observation, ObservedServer } from "./observer.ts";
import type { RequestHead } from "./request-head.ts";
import type { RouteRule } from "./route-rule.ts";

/** Connections that carry HTTP/1 messages, whatever is beneath. */
export interface Http1Upstreams {
  readonly tcp: TcpSeries;
  /** One that is free now, if there is one. */
  take(): Upstream | undefined;
  /** A free one. Rejects with ConnectError or PeerIdentityError: nothing was sent then. */
  connect(): Promise<Upstream>;
}

/** Where a request goes: a server, and how to reach it. */
export interface Destination {
  /** @param upgrade the request may make a tunnel of its connection, which needs one of its own */
  http1(upgrade: boolean): Http1Upstreams;
  /** @param downgrade the request was HTTP/1 before a proxy of the mesh carried it over HTTP/2, and is to be so again (reference 5.7) */
  http2(downgrade: boolean): Http2Upstreams;
  readonly series: HttpSeries;
  /** For those who watch. */
  readonly observed: ObservedServer;
  /** A proxy of the mesh is there: what is sent is kept until it answers, in case it did not pass it on. */
  readonly meshed: boolean;
  /** A request is under way; `ended` follows once. */
  started(): void;
  /** Its answer's head is here. Milliseconds; `now` is monotonic. */
  answered(latencyMs: number, now: number): void;
  ended(): void;
  /** Whether somebody wants the outcome: circuit breakers, penalties. */
  readonly judged?: boolean;
  /** Before `ended`, where `judged`. */
  outcome?(outcome: Outcome, now: number): void;
}

export type Choice = Destination | Refusal;

/**
 * What a side decides of one exchange, and needs for sending it again. Its exchange owns it and hands it to every call;
 * `choose` sets all of it.
 */
export interface Routing {
  /** undefined: nothing to obey. */
  rule: RouteRule | undefined;
  /** The side's own: what the request was matched to. */
  backend: unknown;
}

export interface HttpService {
  readonly audience: Audience;
  /** Header lines added to every request, each with its CRLF. */
  readonly requestLines: Buffer;
  /** Bytes of the client's connection. */
  readonly tcp: TcpSeries;
  /**
   * What must be known before the request can be decided on, and is not yet: asked before `choose`, and again when it is known.
   * `request` is valid until the call returns. Absent, undefined: nothing.
   */
  prepare?(request: RequestHead): Promise<void> | undefined;
  /** Where the request goes. `now` is monotonic. `request` is valid until the call returns. */
  choose(request: RequestHead, routing: Routing, now: number): Choice | Promise<Choice>;
  /** The same, after `failed` provably got nothing of it to an application. `began`: monotonic time of the request's head. */
  again(failed: Destination, routing: Routing, error: Error, began: number): Choice | Promise<Choice>;
  /** Where the request goes for another try, which `routing.rule.retry` allows. */
  retry?(routing: Routing): Choice | Promise<Choice>;
  /**
   * `request` has made a tunnel: bytes that nobody decides of again. `end` is called when it may go on no longer, at once perhaps.
   * Absent: it may for ever.
   * @returns to be called when the tunnel is over
   */
  tunnelled?(request: RequestHead, end: () => void): () => void;
  /** The proxy answers by itself. */
  refused(refusal: Refusal, latencyMs: number): void;
  /** Whether somebody may want to see the next request. */
  readonly observed: boolean;
  /** As {@link ExchangeObserver.open}. */
  observe(request: RequestHead): Observation | undefined;
  /** The client's connection is over. */
  closed(): void;
}
