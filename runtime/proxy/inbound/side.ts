/** What all connections of the inbound side share. */
import type { Load } from "../http/load.ts";
import { Watchers } from "../http/observers.ts";
import { NO_RULE, type RouteRule } from "../http/route-rule.ts";
import { UpstreamPool } from "../http1/pool.ts";
import { Http2OverHttp1 } from "../http2/http2-over-http1.ts";
import { IDLE_MS } from "../http2/limits.ts";
import { Http2Pool } from "../http2/pool.ts";
import { ConnectionSeries } from "../metrics/connection-series.ts";
import { InboundRouteSeries } from "../metrics/route-series.ts";
import { OutboundSide } from "../outbound/side.ts";
import type { Client, InboundServer, RouteMatch } from "../policy/inbound.ts";
import type { DataPlane } from "../tcp/data-plane.ts";
import { targetLabels, tcpLabels, tlsLabels } from "../tcp/labels.ts";
import type { Address, StreamOwner } from "../transport/stream.ts";
import type { InboundOptions } from "./options.ts";

const POOL_IDLE_MS = 3_000;
const MAX_IDLE = 10_000;
const MAX_IN_FLIGHT = 100_000;
/** What happens again and again is worth a line once in a while. */
const QUIET_MS = 10_000;

/** Connections to the application at one address. */
export interface Application {
  readonly http1: UpstreamPool;
  readonly http2: Http2Pool;
  /** For requests that were HTTP/1 before a proxy of the mesh carried them over HTTP/2. */
  readonly downgraded: Http2OverHttp1;
}

/** Where gateways may lead to, and the side that goes there. */
export interface Gateway {
  /** Lower case, without dots at either end. */
  readonly suffixes: readonly string[];
  readonly outbound: OutboundSide;
}

interface Shared extends Application {
  users: number;
}

export class InboundSide {
  readonly options: InboundOptions;
  readonly plane: DataPlane;
  readonly watchers: Watchers;
  readonly load: Load;
  readonly gateway: Gateway | undefined;
  readonly #told = new WeakMap<InboundServer, ConnectionSeries>();
  readonly #rules = new WeakMap<RouteMatch, RouteRule>();
  /** By `ip:port`. */
  readonly #applications = new Map<string, Shared>();
  /** By what was told of which policy: when it may be told again. */
  readonly #quiet = new WeakMap<InboundServer, Map<string, number>>();

  constructor(options: InboundOptions, plane: DataPlane) {
    this.options = options;
    this.plane = plane;
    this.load = { requests: 0, most: options.maxInFlight ?? MAX_IN_FLIGHT };
    const { gateway } = options;
    this.gateway = gateway && { suffixes: gateway.suffixes, outbound: new OutboundSide(gateway.outbound, plane) };
    this.watchers = new Watchers(options);
  }

  /** The application at `address`; `leaveApplication` when the client's connection is over. */
  useApplication(address: Address): Application {
    const key = `${address.ip}:${address.port}`;
    const shared = this.#applications.get(key) ?? this.#open(address);
    shared.users++;
    this.#applications.set(key, shared);
    return shared;
  }

  leaveApplication(address: Address): void {
    const key = `${address.ip}:${address.port}`;
    const shared = this.#applications.get(key);
    if (shared === undefined || --shared.users > 0) return;
    // Kept while the next client may come soon: its idle connections go by themselves.
    if (shared.http1.idle > 0) return;
    this.#applications.delete(key);
    shared.http1.close();
    shared.http2.close();
  }

  /** What a route of a port's policy asks of its exchanges, and where they are told of. */
  ruleOf(server: InboundServer, route: RouteMatch): RouteRule {
    let rule = this.#rules.get(route);
    if (rule === undefined) {
      const kind = server.protocol === "grpc" ? "grpc" : "http";
      const series = new InboundRouteSeries(this.options.metrics, kind, server.labels, route.labels);
      rule = { ...NO_RULE, labels: route.labels, request: route.edits, series };
      this.#rules.set(route, rule);
    }
    return rule;
  }

  /** A line of what a port's policy decided, at most every ten seconds of its kind: metrics count them all. */
  tell(what: string, { address, identity }: Client, server: InboundServer): void {
    const { log } = this.options;
    if (log === undefined) return;
    const now = performance.now();
    let quiet = this.#quiet.get(server);
    if (quiet === undefined) {
      quiet = new Map();
      this.#quiet.set(server, quiet);
    }
    if ((quiet.get(what) ?? 0) > now) return;
    quiet.set(what, now + QUIET_MS);
    const [, , name, port] = server.labels.map(([, value]) => value);
    log(`policy ${name} of port ${port} ${what} of ${identity ?? "a client without identity"} at ${address}`);
  }

  /** Where connections to a port are told of. */
  seriesOf(server: InboundServer): ConnectionSeries {
    let series = this.#told.get(server);
    if (series === undefined) {
      series = new ConnectionSeries(this.options.metrics, "inbound", server.labels);
      this.#told.set(server, series);
    }
    return series;
  }

  #open(address: Address): Shared {
    const { transport, connectTimeoutMs, poolIdleMs, maxIdlePerEndpoint } = this.options;
    const common = {
      connect: (owner: StreamOwner) => transport.connect(address, connectTimeoutMs, owner),
      tcp: () => this.options.metrics.tcp(this.applicationLabels(address)),
      idleMs: poolIdleMs ?? POOL_IDLE_MS,
    };
    const http1 = new UpstreamPool({ ...common, maxIdle: maxIdlePerEndpoint ?? MAX_IDLE });
    const http2 = new Http2Pool({ ...common, idleMs: IDLE_MS, params: this.options.http2Client });
    return { http1, http2, downgraded: new Http2OverHttp1(http1), users: 0 };
  }

  /** Labels of connections to the application. */
  applicationLabels(address: Address): ReturnType<typeof tcpLabels> {
    const tls = tlsLabels({ kind: "none", reason: "loopback" }, "server_id");
    return tcpLabels("inbound", "dst", targetLabels(address.ip, address.port), tls, []);
  }
}
