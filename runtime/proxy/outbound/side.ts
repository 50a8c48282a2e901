/** What all connections of the outbound side share: the balancers, for as long as somebody uses their target. */
import { Balancer, type BalancerOptions } from "../balance/balancer.ts";
import { BalancerTelling } from "../balance/telling.ts";
import type { Refusal } from "../http/failure.ts";
import { Watchers } from "../http/observers.ts";
import { ConnectionSeries } from "../metrics/connection-series.ts";
import { referenceLabels } from "../route/labels.ts";
import type { DataPlane } from "../tcp/data-plane.ts";
import { HttpEndpoint, TcpEndpoint } from "./endpoint.ts";
import type { OutboundOptions } from "./options.ts";
import type { Backend, BalancerParameters, EndpointSource, OutboundTarget } from "./target.ts";

type BalancerBackend = Extract<Backend, { kind: "balancer" }>;

/** The balancers of one source. HTTP counts requests, TCP connections: each has its own. */
export class SharedBalancers {
  readonly #options: OutboundOptions;
  readonly #backend: BalancerBackend;
  #http: Balancer<HttpEndpoint> | undefined;
  #tcp: Balancer<TcpEndpoint> | undefined;
  /** Of what goes by the name that TLS asks for. */
  #tls: Balancer<TcpEndpoint> | undefined;
  users = 0;
  timer: NodeJS.Timeout | undefined;

  constructor(options: OutboundOptions, backend: BalancerBackend) {
    this.#options = options;
    this.#backend = backend;
  }

  /** Made when it is first needed. */
  get http(): Balancer<HttpEndpoint> {
    this.#http ??= new Balancer({
      source: this.#backend.source,
      parameters: this.#parameters("http"),
      ...this.#told("http"),
      backoff: this.#options.connectBackoff,
      open: (endpoint, ewma, breaker) => {
        const { penalty } = this.#backend.parameters;
        const onWell = (): void => this.#http?.succeeded(endpoint);
        return new HttpEndpoint(this.#options, endpoint, { ewma, onWell, breaker, penalty });
      },
      close: (endpoint) => endpoint.close(),
    });
    return this.#http;
  }

  bytes(kind: "tcp" | "tls"): Balancer<TcpEndpoint> {
    if (kind === "tls") {
      this.#tls ??= this.#newBytes("tls");
      return this.#tls;
    }
    this.#tcp ??= this.#newBytes("tcp");
    return this.#tcp;
  }

  #newBytes(kind: "tcp" | "tls"): Balancer<TcpEndpoint> {
    return new Balancer({
      ...this.#told(kind),
      backoff: this.#options.connectBackoff,
      source: this.#backend.source,
      parameters: withoutBreaking(this.#parameters("tcp")),
      open: (endpoint, ewma) => new TcpEndpoint(this.#options, endpoint, ewma),
      close: () => undefined,
    });
  }

  /** The environment has its way over the policy: Linkerd's proxy looks at the environment alone. */
  #parameters(kind: "http" | "tcp"): BalancerParameters {
    const { capacity, failfastMs } = this.#options.queues?.[kind] ?? {};
    const { parameters } = this.#backend;
    return {
      ...parameters,
      queueCapacity: capacity ?? parameters.queueCapacity,
      failfastTimeoutMs: failfastMs ?? parameters.failfastTimeoutMs,
    };
  }

  #told(kind: "http" | "tcp" | "tls"): Pick<BalancerOptions<unknown>, "tell"> {
    const { labels } = this.#backend;
    if (labels === undefined) return {};
    const { metrics } = this.#options;
    const { failfastTimeoutMs } = this.#parameters(kind === "http" ? "http" : "tcp");
    return { tell: (state) => new BalancerTelling(metrics, kind, labels, state, failfastTimeoutMs) };
  }

  renew(): void {
    this.#http?.forEach((endpoint) => {
      endpoint.renew();
    });
  }

  close(): void {
    this.#http?.close();
    this.#tcp?.close();
    this.#tls?.close();
  }
}

/** As long as discovery keeps an unused target (reference 9.1). */
const UNUSED_MS = 5_000;

export class OutboundSide {
  readonly options: OutboundOptions;
  readonly plane: DataPlane;
  readonly watchers: Watchers;
  readonly #balancers = new Map<EndpointSource, Map<string, SharedBalancers>>();
  #ingressSeries: ConnectionSeries | undefined;
  readonly #told = new WeakMap<OutboundTarget, ConnectionSeries>();

  constructor(options: OutboundOptions, plane: DataPlane) {
    this.options = options;
    this.plane = plane;
    this.watchers = new Watchers(options);
  }

  /** This proxy's certificate was renewed: connections made with the old one end after their exchange. */
  renew(): void {
    for (const shared of this.#all()) shared.renew();
  }

  /** Nobody uses a balancer any more. */
  close(): void {
    for (const shared of this.#all()) {
      clearTimeout(shared.timer);
      shared.close();
    }
    this.#balancers.clear();
  }

  *#all(): Iterable<SharedBalancers> {
    for (const ofSource of this.#balancers.values()) yield* ofSource.values();
  }

  /** Where connections to `target` are told of. */
  seriesOf(target: OutboundTarget): ConnectionSeries {
    let series = this.#told.get(target);
    if (series === undefined) {
      series = new ConnectionSeries(this.options.metrics, "outbound", target.labels);
      this.#told.set(target, series);
    }
    return series;
  }

  /** The proxy answered by itself. */
  refused({ error }: Refusal): void {
    if (error !== undefined) this.options.metrics.counter("outbound_http_errors_total", [["error", error]]).add();
  }

  /** Where the detection of connections is told of whose destination nobody knows yet: in ingress mode. */
  get ingressSeries(): ConnectionSeries {
    this.#ingressSeries ??= new ConnectionSeries(
      this.options.metrics,
      "outbound",
      referenceLabels("parent", { kind: { $case: "default", value: "ingress" } }),
    );
    return this.#ingressSeries;
  }

  /** Those of the same source and the same parameters. `leave` follows once, when the client's connection is over. */
  useBalancers(backend: BalancerBackend): SharedBalancers {
    const key = parametersKey(backend.parameters);
    let ofSource = this.#balancers.get(backend.source);
    if (ofSource === undefined) {
      ofSource = new Map();
      this.#balancers.set(backend.source, ofSource);
    }
    let shared = ofSource.get(key);
    if (shared === undefined) {
      shared = new SharedBalancers(this.options, backend);
      ofSource.set(key, shared);
    }
    shared.users++;
    clearTimeout(shared.timer);
    shared.timer = undefined;
    return shared;
  }

  leave({ source, parameters }: BalancerBackend): void {
    const key = parametersKey(parameters);
    const ofSource = this.#balancers.get(source);
    const shared = ofSource?.get(key);
    if (ofSource === undefined || shared === undefined || --shared.users > 0) return;
    shared.timer = setTimeout(
      () => {
        ofSource.delete(key);
        if (ofSource.size === 0 && this.#balancers.get(source) === ofSource) this.#balancers.delete(source);
        shared.close();
      },
      this.plane.draining ? 0 : UNUSED_MS,
    );
  }
}

const keys = new WeakMap<BalancerParameters, string>();

function parametersKey(parameters: BalancerParameters): string {
  let key = keys.get(parameters);
  if (key === undefined) {
    key = JSON.stringify(parameters);
    keys.set(parameters, key);
  }
  return key;
}

function withoutBreaking({ accrual: _, penalty: __, ...rest }: BalancerParameters): BalancerParameters {
  return rest;
}
