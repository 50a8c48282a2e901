/** What the inbound side asks of policy (reference 5.3, 6.4). Implemented over InboundServerPolicies.WatchPort. */
import type { RequestHead } from "../http/request-head.ts";
import type { HeadEdits } from "../http/route-rule.ts";
import type { Labels } from "../metrics/series.ts";
import type { Refuse } from "../route/refusals.ts";
import type { RateLimit } from "./rate-limit.ts";

/** Who is at the other end of an inbound connection. */
export interface Client {
  /** IP address of the peer. */
  readonly address: string;
  /** TLS as seen: `mutual` with a verified identity, `server` without a client certificate, `none`. */
  readonly tls: "mutual" | "server" | "none";
  /** First SAN of the verified leaf; present for `mutual`. */
  readonly identity?: string;
}

/** Which authorization let a connection or request pass; its labels are `authz_group`, `authz_kind`, `authz_name`. */
export interface Permit {
  readonly labels: Labels;
  /** It stands for a policy that only watches: what passes by it is told of. */
  readonly audit: boolean;
}

export interface RouteMatch {
  /** `route_group`, `route_kind`, `route_name`. */
  readonly labels: Labels;
  /** `default` and `probe` are the two routes that no manifest made. */
  readonly name: string;
  /** The kubelet's: its requests count in no figure of a view, and are never too many. */
  readonly probe: boolean;
  /** undefined: forbidden (403). */
  authorize(client: Client): Permit | undefined;
  /** What the route changes of a request's head. */
  readonly edits: HeadEdits | undefined;
  /** Redirects, and failures on purpose: of requests that are authorized. */
  readonly refuse: Refuse | undefined;
}

/** The policy in force for one port. Objects are immutable; a new policy is a new object, `InboundPolicies.port` gives the newest. */
export interface InboundServer {
  readonly protocol: "detect" | "opaque" | "tls" | "http1" | "http2" | "grpc";
  readonly detectTimeoutMs: number;
  /** `srv_group`, `srv_kind`, `srv_name`, `srv_port`. */
  readonly labels: Labels;
  /** Of requests that are authorized; undefined: none. */
  readonly rateLimit: RateLimit | undefined;
  /** For connections that carry no HTTP. undefined: refuse (close). */
  authorizeConnection(client: Client): Permit | undefined;
  /** undefined: no route matched (404). `request` is valid during the call only. */
  route(request: RequestHead): RouteMatch | undefined;
}

export interface InboundPolicies {
  /** The policy of a port: the controller's answer, or the default of the environment until (and while) there is none. Never waits. */
  port(port: number): InboundServer;
  /** Told of each new policy of the port, which is watched as long. @returns ends it */
  follow(port: number, listener: (server: InboundServer) => void): () => void;
}
