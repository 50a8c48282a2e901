/** The two data-plane sides as main sees them: what they are given, and how they listen, drain and end. */
import type { AccessLog } from "./access-log/access-log.ts";
import type { Http2ClientParams, Http2Limits } from "./http2/limits.ts";
import type { LocalIdentity } from "./identity/local-identity.ts";
import type { ProxyMetrics } from "./metrics/series.ts";
import type { TapHub } from "./tap/hub.ts";
import type { Tracer } from "./trace/tracer.ts";
import type { Address, Transport } from "./transport/stream.ts";

/** What both sides are given. Times in milliseconds; names of the environment variables without their prefix (reference 4). */
export interface DataPlaneOptions {
  readonly transport: Transport;
  /** One or two addresses (IPv4 and IPv6); port 0 takes a free one. */
  readonly listen: readonly Address[];
  /** TCP_LISTEN_BACKLOG. Default 4096; the kernel caps it at net.core.somaxconn. */
  readonly backlog?: number;
  readonly identity: LocalIdentity;
  readonly metrics: ProxyMetrics;
  readonly tap: TapHub;
  /** Absent: none is kept. Of the inbound side. */
  readonly accessLog?: AccessLog | undefined;
  /** Absent: requests keep the trace contexts they came with. */
  readonly tracer?: Tracer | undefined;
  /** INBOUND_IPS, the pod's own addresses. Empty: unknown, nothing is refused or dialled in plain text for it. */
  readonly ips: ReadonlySet<string>;
  /** CONNECT_TIMEOUT of the side: template 1000 outbound, 100 inbound. A TLS handshake must end within three times it, at least 3 s. */
  readonly connectTimeoutMs: number;
  /** HTTP1_CONNECTION_POOL_IDLE_TIMEOUT: how long an unused connection to an endpoint is kept. Default 3000. */
  readonly poolIdleMs?: number;
  /** MAX_IDLE_CONNS_PER_ENDPOINT. Default 10000. */
  readonly maxIdlePerEndpoint?: number;
  /** WEFT_HTTP1_HEAD_TIMEOUT: how long a client may take for a head that it has begun; 0: for ever. Default 30,000. */
  readonly headTimeoutMs?: number | undefined;
  /** *_SERVER_HTTP2_*: what a client may do on an HTTP/2 connection. */
  readonly http2Limits?: Http2Limits | undefined;
  /** HTTP2_INITIAL_*_WINDOW_SIZE: what servers may send before they are credited. */
  readonly http2Client?: Http2ClientParams | undefined;
  /** Told of what is worth a line: refused handshakes, refused loops. Cheap when nothing is wrong. */
  readonly log?: (message: string) => void;
}

/** What the proxy's two data-plane sides give to main: they listen, drain and end. */
export interface DataPlaneListener {
  /** Where it listens, in the order of `listen`. */
  readonly addresses: readonly Address[];
  /** Stops accepting; answers of open HTTP/1 connections carry `connection: close`; resolves when none is left or `graceMs` has passed, then closes the rest. */
  drain(graceMs: number): Promise<void>;
  close(): void;
  readonly openConnections: () => number;
}
