/** What the outbound side keeps for one endpoint: its connections, its series, and the balancer's notes. */
import { type Breaker, isRateLimited, type Outcome, type PenaltyPolicy, retryHint } from "../balance/breaker.ts";
import type { PeakEwma } from "../balance/peak-ewma.ts";
import type { Load } from "../http/load.ts";
import type { ObservedServer } from "../http/observer.ts";
import type { Destination, Http1Upstreams } from "../http/service.ts";
import { UpstreamPool } from "../http1/pool.ts";
import { Http1OverHttp2 } from "../http2/http1-over-http2.ts";
import { Http2OverHttp1 } from "../http2/http2-over-http1.ts";
import { IDLE_MS } from "../http2/limits.ts";
import { Http2Pool } from "../http2/pool.ts";
import type { Http2Upstreams } from "../http2/upstreams.ts";
import type { HttpSeries, Labels, TcpSeries } from "../metrics/series.ts";
import { targetLabels, tcpLabels, tlsLabels } from "../tcp/labels.ts";
import { connectEndpoint, endpointTls } from "./connect.ts";
import type { OutboundOptions } from "./options.ts";
import type { Endpoint } from "./target.ts";

const POOL_IDLE_MS = 3_000;
const MAX_IDLE = 10_000;

export function endpointLabels(options: OutboundOptions, endpoint: Endpoint): { target: Labels; tls: Labels } {
  return {
    target: targetLabels(endpoint.ip, endpoint.port),
    tls: tlsLabels(endpointTls(endpoint, options.ips), "server_id"),
  };
}

function tcpSeries(options: OutboundOptions, endpoint: Endpoint): TcpSeries {
  const { target, tls } = endpointLabels(options, endpoint);
  return options.metrics.tcp(tcpLabels("outbound", "dst", target, tls, endpoint.labels));
}

/** What a balancer gives an endpoint that is one of several. */
interface Balanced {
  readonly ewma?: PeakEwma;
  /** It answers, after it was `failing`. */
  readonly onWell?: () => void;
  readonly breaker?: Breaker | undefined;
  readonly penalty?: PenaltyPolicy | undefined;
}

/** An endpoint that gets requests. */
export class HttpEndpoint implements Destination {
  readonly endpoint: Endpoint;
  readonly meshed: boolean;
  readonly tls: Labels;
  /** HTTP/1 goes to it over HTTP/2: a proxy of the mesh is there, and takes it. */
  readonly #carries: boolean;
  #observed: ObservedServer | undefined;
  readonly #ewma: PeakEwma | undefined;
  readonly #newSeries: () => HttpSeries;
  #series: HttpSeries | undefined;
  readonly #options: OutboundOptions;
  #http1: UpstreamPool | undefined;
  #carried: Http1OverHttp2 | undefined;
  #http2: Http2Pool | undefined;
  #downgraded: Http2OverHttp1 | undefined;

  /** It could not be reached; `onWell` is due when it answers again. */
  failing = false;
  readonly #onWell: (() => void) | undefined;

  readonly #load: Load | undefined;
  readonly #breaker: Breaker | undefined;
  readonly #penalty: PenaltyPolicy | undefined;
  readonly judged: boolean;

  constructor(options: OutboundOptions, endpoint: Endpoint, { ewma, onWell, breaker, penalty }: Balanced = {}) {
    const { target, tls } = endpointLabels(options, endpoint);
    this.endpoint = endpoint;
    this.tls = tls;
    this.#ewma = ewma;
    this.#onWell = onWell;
    this.#load = options.load;
    this.#breaker = breaker;
    this.#penalty = penalty;
    this.judged = breaker !== undefined || penalty !== undefined;
    this.meshed = endpoint.tls !== undefined && !options.ips.has(endpoint.ip);
    this.#carries = this.meshed && endpoint.protocolHint === "h2";
    this.#newSeries = () => options.metrics.http([["direction", "outbound"], ...target, ...tls, ...endpoint.labels]);
    this.#options = options;
  }

  http1(upgrade: boolean): Http1Upstreams {
    if (this.#carries && !upgrade) {
      this.#carried ??= new Http1OverHttp2(this.#pool2());
      return this.#carried;
    }
    return this.#pool1();
  }

  /** @param downgrade only of what comes through a gateway: it was HTTP/1, and is so again for whom no proxy makes it so */
  http2(downgrade: boolean): Http2Upstreams {
    if (!downgrade || this.#carries) return this.#pool2();
    this.#downgraded ??= new Http2OverHttp1(this.#pool1());
    return this.#downgraded;
  }

  #pool1(): UpstreamPool {
    this.#http1 ??= new UpstreamPool({
      connect: (owner) => connectEndpoint(this.#options, this.endpoint, "http1", owner),
      tcp: () => tcpSeries(this.#options, this.endpoint),
      idleMs: this.#options.poolIdleMs ?? POOL_IDLE_MS,
      maxIdle: this.#options.maxIdlePerEndpoint ?? MAX_IDLE,
    });
    return this.#http1;
  }

  #pool2(): Http2Pool {
    this.#http2 ??= new Http2Pool({
      connect: (owner) => connectEndpoint(this.#options, this.endpoint, "http2", owner),
      tcp: () => tcpSeries(this.#options, this.endpoint),
      idleMs: IDLE_MS,
      params: { ...this.#options.http2Client, ...this.endpoint.http2 },
    });
    return this.#http2;
  }

  /** Connections with this proxy's new certificate from now on. */
  renew(): void {
    this.#http1?.renew();
    this.#http2?.renew();
  }

  /** It gets no more requests. */
  close(): void {
    this.#http1?.close();
    this.#http2?.close();
  }

  /** Made with the first request: an endpoint that got none is not told of. */
  get series(): HttpSeries {
    this.#series ??= this.#newSeries();
    return this.#series;
  }

  get observed(): ObservedServer {
    const { ip, port, labels } = this.endpoint;
    this.#observed ??= { address: { ip, port }, labels: [...this.tls, ...labels] };
    return this.#observed;
  }

  started(): void {
    if (this.#load !== undefined) this.#load.requests++;
    if (this.#ewma !== undefined) this.#ewma.outstanding++;
  }

  answered(latencyMs: number, now: number): void {
    this.#ewma?.observe(latencyMs, now);
    if (!this.failing) return;
    this.failing = false;
    this.#onWell?.();
  }

  outcome(outcome: Outcome, now: number): void {
    this.#breaker?.outcome(outcome, now);
    if (this.#penalty === undefined || !(outcome.failure || isRateLimited(outcome))) return;
    const { penaltyMs, maxRetryAfterMs } = this.#penalty;
    this.#ewma?.penalize(Math.max(penaltyMs, Math.min(maxRetryAfterMs, retryHint(outcome) ?? 0)), now);
  }

  ended(): void {
    if (this.#load !== undefined) this.#load.requests--;
    if (this.#ewma !== undefined) this.#ewma.outstanding--;
    this.#breaker?.released();
  }
}

/** An endpoint that gets bytes. */
export class TcpEndpoint {
  readonly #options: OutboundOptions;
  #series: TcpSeries | undefined;
  readonly endpoint: Endpoint;
  readonly ewma: PeakEwma | undefined;

  constructor(options: OutboundOptions, endpoint: Endpoint, ewma?: PeakEwma) {
    this.endpoint = endpoint;
    this.ewma = ewma;
    this.#options = options;
  }

  get series(): TcpSeries {
    this.#series ??= tcpSeries(this.#options, this.endpoint);
    return this.#series;
  }
}
