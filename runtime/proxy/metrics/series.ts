/**
 * What the hot path writes into. Series are looked up when a connection, an endpoint or a route is first seen and kept
 * there; per request only numbers change. Names, labels and buckets: reference 7.2, 7.3.
 */

/** Label name and value pairs in exposition order; rendered once. */
export type Labels = readonly (readonly [name: string, value: string])[];

/** request_total, response_total, response_latency_ms of one label set. */
export interface HttpSeries {
  /** A request's head has passed. */
  request(): void;
  /**
   * A response has ended (or failed).
   * @param status 0: there was none. @param latencyMs from the request's head to the response's end
   * @param grpcStatus undefined: not gRPC's. @param error what went wrong in the proxy, as the label `error`; default nothing
   */
  response(status: number, latencyMs: number, failure: boolean, grpcStatus?: number, error?: string): void;
}

/** tcp_open_total, tcp_open_connections, tcp_close_total, tcp_read_bytes_total, tcp_write_bytes_total of one label set. */
export interface TcpSeries {
  opened(): void;
  /** `errno` is empty for a clean end, else as `ECONNRESET`. */
  closed(errno: string): void;
  read(bytes: number): void;
  wrote(bytes: number): void;
}

/** A single counter. */
export interface Counter {
  add(amount?: number): void;
}

/** A single histogram. */
export interface Distribution {
  record(value: number): void;
}

/** Names as in reference 7.3 and 7.4, e.g. `inbound_http_errors_total`; histograms without `_bucket`. */
export interface ProxyMetrics {
  http(labels: Labels): HttpSeries;
  tcp(labels: Labels): TcpSeries;
  counter(name: string, labels: Labels): Counter;
  distribution(name: string, labels: Labels): Distribution;
  /** A figure that is read when it is asked for. @returns ends it */
  gauge(name: string, labels: Labels, read: () => number): () => void;
  /** `route_request_total`, `route_response_total`, `route_response_latency_ms` of a ServiceProfile's route. */
  route(labels: Labels): HttpSeries;
  /** `route_actual_request_total`, `route_actual_response_total`: tries. */
  actualRoute(labels: Labels): HttpSeries;
}
