/**
 * What routes tell of their requests: {@link RouteSeries} and {@link TrySeries} over the families of reference 7.4 (policies) and 7.3
 * (ServiceProfiles). A series is made with the first use of it: a route without requests is not told of.
 */
import type { RouteSeries, StreamError, TrySeries } from "../http/route-rule.ts";
import type { Counter, Distribution, HttpSeries, Labels, ProxyMetrics } from "./series.ts";

export type RouteKind = "http" | "grpc";

const GRPC_NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** Series of one label set, by name. */
class Series {
  readonly #metrics: ProxyMetrics;
  readonly #prefix: string;
  readonly #labels: Labels;

  constructor(metrics: ProxyMetrics, prefix: string, labels: Labels) {
    this.#metrics = metrics;
    this.#prefix = prefix;
    this.#labels = labels;
  }

  counter(name: string, more: Labels = []): Counter {
    return this.#metrics.counter(
      `${this.#prefix}_${name}`,
      more.length === 0 ? this.#labels : [...this.#labels, ...more],
    );
  }

  distribution(name: string): Distribution {
    return this.#metrics.distribution(`${this.#prefix}_${name}`, this.#labels);
  }
}

interface Ending {
  readonly code: number;
  readonly error: StreamError;
  readonly counter: Counter;
}

/** Counters by how responses ended. The one used last is tried first: most are alike. */
class StatusCounters {
  readonly #series: Series;
  readonly #name: string;
  readonly #label: string;
  readonly #grpc: boolean;
  /** Inbound families have no label for errors. */
  readonly #errors: boolean;
  readonly #known: Ending[] = [];
  #last: Ending | undefined;

  constructor(series: Series, name: string, label: string, options: { grpc: boolean; errors: boolean }) {
    this.#series = series;
    this.#name = name;
    this.#label = label;
    this.#grpc = options.grpc;
    this.#errors = options.errors;
  }

  add(status: number, grpcStatus: number | undefined, error: StreamError): void {
    const code = this.#grpc ? (grpcStatus ?? -1) : status;
    let found = this.#last;
    if (found === undefined || found.code !== code || found.error !== error) {
      found = this.#find(code, error);
      this.#last = found;
    }
    found.counter.add();
  }

  #find(code: number, error: StreamError): Ending {
    const present = this.#known.find((known) => known.code === code && known.error === error);
    if (present !== undefined) return present;
    const value = this.#grpc ? (GRPC_NAMES[code] ?? "UNKNOWN") : code === 0 ? "" : String(code);
    const labels: Labels = [[this.#label, value], ...(this.#errors ? [["error", error] as const] : [])];
    const made = { code, error, counter: this.#series.counter(this.#name, labels) };
    this.#known.push(made);
    return made;
  }
}

const SECOND = 1_000;
const MAX_HOSTNAMES = 1_000;
const RETRIES = {
  retry: "retry_requests_total",
  success: "retry_successes_total",
  limit: "retry_limit_exceeded_total",
  overflow: "retry_overflow_total",
} as const;

/** `outbound_http_route_*`, `outbound_grpc_route_*`. */
export class PolicyRouteSeries implements RouteSeries {
  readonly #metrics: ProxyMetrics;
  readonly #kind: RouteKind;
  readonly #labels: Labels;
  /** Of its requests by host: clients choose these, so not endlessly many. */
  #named: Map<string, PolicyRouteSeries> | undefined;
  readonly #series: Series;
  readonly #statuses: StatusCounters;
  #duration: Distribution | undefined;
  #frames: Distribution | undefined;

  /** @param labels `parent_*` and `route_*` */
  constructor(metrics: ProxyMetrics, kind: RouteKind, labels: Labels, hostname = "") {
    this.#metrics = metrics;
    this.#kind = kind;
    this.#labels = labels;
    this.#series = new Series(metrics, `outbound_${kind}_route`, [...labels, ["hostname", hostname]]);
    const grpc = kind === "grpc";
    const label = `${kind}_status`;
    this.#statuses = new StatusCounters(this.#series, "request_statuses_total", label, { grpc, errors: true });
  }

  named(hostname: string): PolicyRouteSeries {
    if (hostname === "") return this;
    this.#named ??= new Map();
    let named = this.#named.get(hostname);
    if (named === undefined) {
      if (this.#named.size >= MAX_HOSTNAMES) return this;
      named = new PolicyRouteSeries(this.#metrics, this.#kind, this.#labels, hostname);
      this.#named.set(hostname, named);
    }
    return named;
  }

  request(): void {}

  requestFrame(bytes: number): void {
    this.#frames ??= this.#series.distribution("request_frame_size_bytes");
    this.#frames.record(bytes);
  }

  responseFrame(): void {}

  response(
    status: number,
    sinceHeadMs: number,
    _sinceEndMs: number,
    grpcStatus: number | undefined,
    error: StreamError,
  ): void {
    this.#duration ??= this.#series.distribution("request_duration_seconds");
    this.#duration.record(sinceHeadMs / SECOND);
    this.#statuses.add(status, grpcStatus, error);
  }

  retried(outcome: keyof typeof RETRIES): void {
    this.#series.counter(RETRIES[outcome]).add();
  }
}

/** `outbound_http_route_backend_*`, `outbound_grpc_route_backend_*`. */
export class PolicyBackendSeries implements TrySeries {
  readonly #series: Series;
  readonly #statuses: StatusCounters;
  #requests: Counter | undefined;
  #duration: Distribution | undefined;
  #frames: Distribution | undefined;

  /** @param labels `parent_*`, `route_*` and `backend_*` */
  constructor(metrics: ProxyMetrics, kind: RouteKind, labels: Labels) {
    this.#series = new Series(metrics, `outbound_${kind}_route_backend`, labels);
    const grpc = kind === "grpc";
    const label = `${kind}_status`;
    this.#statuses = new StatusCounters(this.#series, "response_statuses_total", label, { grpc, errors: true });
  }

  request(): void {
    this.#requests ??= this.#series.counter("requests_total");
    this.#requests.add();
  }

  responseFrame(bytes: number): void {
    this.#frames ??= this.#series.distribution("response_frame_size_bytes");
    this.#frames.record(bytes);
  }

  response(
    status: number,
    _sinceHeadMs: number,
    sinceEndMs: number,
    grpcStatus: number | undefined,
    error: StreamError,
  ): void {
    this.#duration ??= this.#series.distribution("response_duration_seconds");
    this.#duration.record(sinceEndMs / SECOND);
    this.#statuses.add(status, grpcStatus, error);
  }
}

/** `inbound_http_*`, `inbound_grpc_*`. */
export class InboundRouteSeries implements RouteSeries {
  readonly #series: Series;
  readonly #statuses: StatusCounters;
  #requests: Counter | undefined;
  #requestDuration: Distribution | undefined;
  #responseDuration: Distribution | undefined;
  #requestFrames: Distribution | undefined;
  #responseFrames: Distribution | undefined;

  /** @param server `srv_*`. @param route `route_*` */
  constructor(metrics: ProxyMetrics, kind: RouteKind, server: Labels, route: Labels) {
    const parent = server.map(([name, value]) => [name.replace(/^srv_/, "parent_"), value] as const);
    this.#series = new Series(metrics, `inbound_${kind}`, [...parent, ...route]);
    const grpc = kind === "grpc";
    this.#statuses = new StatusCounters(this.#series, "statuses_total", "status", { grpc, errors: false });
  }

  request(): void {
    this.#requests ??= this.#series.counter("requests_total");
    this.#requests.add();
  }

  requestFrame(bytes: number): void {
    this.#requestFrames ??= this.#series.distribution("request_frame_size_bytes");
    this.#requestFrames.record(bytes);
  }

  responseFrame(bytes: number): void {
    this.#responseFrames ??= this.#series.distribution("response_frame_size_bytes");
    this.#responseFrames.record(bytes);
  }

  response(status: number, sinceHeadMs: number, sinceEndMs: number, grpcStatus: number | undefined): void {
    this.#requestDuration ??= this.#series.distribution("request_duration_seconds");
    this.#requestDuration.record(sinceHeadMs / SECOND);
    this.#responseDuration ??= this.#series.distribution("response_duration_seconds");
    this.#responseDuration.record(sinceEndMs / SECOND);
    this.#statuses.add(status, grpcStatus, "");
  }

  retried(): void {}
}

type IsFailure = (status: number, grpcStatus: number | undefined) => boolean;

/** `route_actual_*` of a ServiceProfile's route: what was sent for it. */
export class ProfileTrySeries implements TrySeries {
  readonly #make: () => HttpSeries;
  readonly #isFailure: IsFailure;
  #series: HttpSeries | undefined;

  /** @param labels `dst` and `rt_*` */
  constructor(
    metrics: ProxyMetrics,
    labels: Labels,
    isFailure: IsFailure,
    family: "route" | "actualRoute" = "actualRoute",
  ) {
    this.#make = () => metrics[family]([["direction", "outbound"], ...labels]);
    this.#isFailure = isFailure;
  }

  request(): void {
    this.#series ??= this.#make();
    this.#series.request();
  }

  responseFrame(): void {}

  response(
    status: number,
    sinceHeadMs: number,
    _sinceEndMs: number,
    grpcStatus: number | undefined,
    error: StreamError,
  ): void {
    this.#series ??= this.#make();
    this.#series.response(status, sinceHeadMs, fails(this.#isFailure, status, grpcStatus, error), grpcStatus, error);
  }
}

/** `route_*`: what clients asked for. */
export class ProfileRouteSeries extends ProfileTrySeries implements RouteSeries {
  readonly #retryable: (skipped: Labels) => Counter;

  /** @param labels `dst` and `rt_*` */
  constructor(metrics: ProxyMetrics, labels: Labels, isFailure: IsFailure) {
    super(metrics, labels, isFailure, "route");
    this.#retryable = (skipped) =>
      metrics.counter("route_retryable_total", [["direction", "outbound"], ...labels, ...skipped]);
  }

  requestFrame(): void {}

  retried(outcome: keyof typeof RETRIES): void {
    if (outcome === "retry") this.#retryable([]).add();
    else if (outcome === "overflow") this.#retryable([["skipped", "no_budget"]]).add();
  }
}

function fails(isFailure: IsFailure, status: number, grpcStatus: number | undefined, error: StreamError): boolean {
  return error !== "" || isFailure(status, grpcStatus);
}
