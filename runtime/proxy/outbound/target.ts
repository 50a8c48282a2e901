/** What the outbound side asks of discovery (reference 5.2, 5.3). Implemented over Destination and OutboundPolicies. */
import type { AccrualPolicy, PenaltyPolicy } from "../balance/breaker.ts";
import type { Http2ClientParams } from "../http2/limits.ts";
import type { Labels } from "../metrics/series.ts";
import type { RouteTable } from "../route/table.ts";
import type { TcpRoutes } from "../route/tcp-routes.ts";

/** One address that can serve a target. Immutable; an update is a new object under the same key. */
export interface Endpoint {
  /** `ip:port` (IPv6 in brackets): the key. */
  readonly address: string;
  readonly ip: string;
  readonly port: number;
  /** Expected first SAN of the peer, and the SNI to send. Absent: plain text. */
  readonly tls?: { readonly identity: string; readonly serverName: string };
  readonly protocolHint?: "h2" | "opaque";
  /** Inbound port of the peer's proxy, where a transport header is understood. Absent: dial `port` itself. */
  readonly proxyPort?: number;
  /** What the controller says of HTTP/2 with it, where that is not what holds anyway. */
  readonly http2?: Http2ClientParams;
  /** `dst_*` labels of metrics and tap. */
  readonly labels: Labels;
}

/** The live endpoints of one authority. */
export interface EndpointSource {
  /**
   * `pending` until the first answer; `empty` when the authority has no endpoint now; `unknown` when the controller
   * says that there is no such authority.
   */
  readonly state: "pending" | "ready" | "empty" | "unknown";
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** Called after each change; `removed` holds addresses that must get no new work. */
  subscribe(listener: (change: { added: readonly Endpoint[]; removed: readonly string[] }) => void): () => void;
}

export interface BalancerParameters {
  readonly defaultRttMs: number;
  readonly decayMs: number;
  readonly queueCapacity: number;
  readonly failfastTimeoutMs: number;
  /** Circuit breaking, where the policy asks for it. HTTP only. */
  readonly accrual?: AccrualPolicy;
  /** What a failed response costs its endpoint's load. HTTP only. */
  readonly penalty?: PenaltyPolicy;
}

export type Backend =
  | {
      readonly kind: "balancer";
      readonly source: EndpointSource;
      readonly parameters: BalancerParameters;
      /** `parent_*` and `backend_*`; absent: nothing is told of it in metrics. */
      readonly labels?: Labels;
    }
  | { readonly kind: "forward"; readonly endpoint: Endpoint }
  /** A policy that refuses: status for HTTP, close for TCP. */
  | { readonly kind: "fail"; readonly status: number; readonly message: string };

/** How to treat connections to one original destination. */
export interface OutboundTarget {
  readonly protocol: "detect" | "opaque" | "http1" | "http2" | "grpc" | "tls";
  readonly detectTimeoutMs: number;
  /** Where everything goes for which there are no routes. */
  readonly backend: Backend;
  /** Of requests over HTTP/1, and of those over HTTP/2: a policy may say different things of them. */
  readonly http1?: RouteTable<Backend>;
  readonly http2?: RouteTable<Backend>;
  /** Of connections that are not HTTP. */
  readonly tcp?: TcpRoutes<Backend>;
  /** `parent_*` labels. */
  readonly labels: Labels;
}

export interface OutboundTargets {
  /**
   * The target of an original destination, at once where it is known, else when the controller has answered, or has
   * not answered within its time-out: then a plain forward to the original address.
   * Instead of an address it may be the name of a Service, which gateways go by.
   * The caller holds it while a connection is open and calls `release` after; unused targets are dropped 5 s later.
   */
  acquire(host: string, port: number): OutboundTarget | Promise<OutboundTarget>;
  release(host: string, port: number): void;
}
