/** The families that are found by their names: help and, of histograms, bounds (reference 7.3, 7.4). */

interface Description {
  readonly help: string;
  /** Of histograms: upper bounds; +Inf follows. */
  readonly bounds?: readonly number[];
}

const DETECT_SECONDS = [0.001, 0.1];
const FRAME_BYTES = [128, 1_024, 10_240];
const ROUTE_SECONDS = [0.05, 0.5, 1, 10];
const FINE_SECONDS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 10];

const FAMILIES = new Map<string, Description>([
  ["inbound_http_authz_allow_total", { help: "The total number of inbound HTTP requests that could be authorized" }],
  ["inbound_http_authz_deny_total", { help: "The total number of inbound HTTP requests denied due to policy" }],
  ["inbound_http_route_not_found_total", { help: "The total number of inbound HTTP requests that no route matched" }],
  ["inbound_http_local_ratelimit_total", { help: "The total number of inbound HTTP requests that were rate-limited" }],
  ["inbound_tcp_authz_allow_total", { help: "The total number of inbound TCP connections that were authorized" }],
  ["inbound_tcp_authz_deny_total", { help: "The total number of inbound TCP connections that were denied" }],
  ["inbound_tcp_authz_terminate_total", { help: "The total number of TCP connections ended by a changed policy" }],
  ["inbound_http_errors_total", { help: "The total number of inbound HTTP requests that failed in the proxy" }],
  ["inbound_tcp_errors_total", { help: "The total number of inbound TCP connections that failed in the proxy" }],
  ["outbound_http_errors_total", { help: "The total number of outbound HTTP requests that failed in the proxy" }],
  ["outbound_tcp_errors_total", { help: "The total number of outbound TCP connections that failed in the proxy" }],
  ["route_retryable_total", { help: "The total number of HTTP responses of retryable routes that called for a retry" }],
  ...detection("inbound"),
  ...detection("outbound"),
  [
    "inbound_tcp_transport_header_connections_total",
    { help: "The total number of connections with a transport header" },
  ],
  ["outbound_tcp_protocol_connections_total", { help: "The total number of outbound connections by their protocol" }],
  ...["http", "grpc"].flatMap((kind) => [...inboundRoutes(kind), ...outboundRoutes(kind)]),
  ...["tcp", "tls"].flatMap((kind) => [
    family(`outbound_${kind}_route_open_total`, "The total number of connections that a route took"),
    family(`outbound_${kind}_route_close_total`, "The total number of connections of a route that ended"),
  ]),
  ...["http", "tcp", "tls"].flatMap((kind) => balancer(`outbound_${kind}_balancer`)),
]);

/** @param name without `_bucket`, `_sum`, `_count` */
export function describe(name: string): Description {
  return FAMILIES.get(name) ?? { help: "What the name says" };
}

function family(name: string, help: string, bounds?: readonly number[]): [string, Description] {
  return [name, bounds === undefined ? { help } : { help, bounds }];
}

function balancer(base: string): [string, Description][] {
  return [
    family(`${base}_endpoints`, "The number of endpoints by whether they can get a request now"),
    family(`${base}_p2c_endpoints`, "The number of endpoints that are chosen from"),
    family(`${base}_p2c_updates_total`, "The total number of changes to the endpoints"),
    family(`${base}_queue_length`, "The number of requests that wait for an endpoint"),
    family(`${base}_queue_requests_total`, "The total number of requests that had to wait for an endpoint"),
    family(
      `${base}_queue_latency_seconds`,
      "How long requests waited for an endpoint",
      [0.0005, 0.005, 0.05, 0.5, 1, 3],
    ),
    family(`${base}_queue_gate_open_total`, "How often the gate opened: at first, and when endpoints came back"),
    family(`${base}_queue_gate_shut_total`, "How often there was no endpoint for as long as the gate's time-out"),
    family(
      `${base}_queue_gate_open_time_seconds`,
      "When the gate was opened, in seconds since the epoch; 0: it is shut",
    ),
    family(`${base}_queue_gate_shut_time_seconds`, "When the gate was shut, in seconds since the epoch; 0: it is open"),
    family(`${base}_queue_gate_timeout_seconds`, "How long requests wait before the gate shuts"),
  ];
}

function detection(side: string): [string, Description][] {
  return [
    family(`${side}_tcp_detect_http_duration_seconds`, "How long the detection of HTTP took", DETECT_SECONDS),
    family(`${side}_tcp_detect_http_results_total`, "The total number of connections by what was detected"),
  ];
}

function inboundRoutes(kind: string): [string, Description][] {
  const base = `inbound_${kind}`;
  return [
    family(`${base}_requests_total`, "The total number of requests"),
    family(`${base}_statuses_total`, "The total number of responses by their status"),
    family(`${base}_request_duration_seconds`, "From a request's head to its response's end", FINE_SECONDS),
    family(`${base}_response_duration_seconds`, "From a request's end to its response's end", ROUTE_SECONDS),
    family(`${base}_request_frame_size_bytes`, "Sizes of the pieces that request bodies came in", FRAME_BYTES),
    family(`${base}_response_frame_size_bytes`, "Sizes of the pieces that response bodies came in", FRAME_BYTES),
  ];
}

function outboundRoutes(kind: string): [string, Description][] {
  const base = `outbound_${kind}_route`;
  return [
    family(`${base}_request_duration_seconds`, "From a request's head to its response's end", ROUTE_SECONDS),
    family(`${base}_request_statuses_total`, "The total number of responses that clients got, by how they ended"),
    family(`${base}_request_frame_size_bytes`, "Sizes of the pieces that request bodies came in", FRAME_BYTES),
    family(`${base}_retry_limit_exceeded_total`, "The total number of requests whose retries were used up"),
    family(`${base}_retry_overflow_total`, "The total number of requests that the budget allowed no retry"),
    family(`${base}_retry_requests_total`, "The total number of requests sent once more"),
    family(`${base}_retry_successes_total`, "The total number of requests that succeeded after a retry"),
    family(`${base}_backend_requests_total`, "The total number of requests sent to a backend"),
    family(`${base}_backend_response_duration_seconds`, "From a try's end to its response's end", FINE_SECONDS),
    family(`${base}_backend_response_statuses_total`, "The total number of a backend's responses, by how they ended"),
    family(
      `${base}_backend_response_frame_size_bytes`,
      "Sizes of the pieces that response bodies came in",
      FRAME_BYTES,
    ),
  ];
}
