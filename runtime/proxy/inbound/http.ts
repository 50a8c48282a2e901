/** HTTP on the inbound side: the port's policy decides each request; what passes goes to the application. */

import type { Audience } from "../http/failure.ts";
import { Refusal } from "../http/failure.ts";
import type { Load } from "../http/load.ts";
import type { Observation, ObservedServer } from "../http/observer.ts";
import { ConnectionObserver } from "../http/observers.ts";
import type { RequestHead } from "../http/request-head.ts";
import type { RouteRule } from "../http/route-rule.ts";
import type { Choice, Destination, Http1Upstreams, HttpService, Routing } from "../http/service.ts";
import type { Http2Upstreams } from "../http2/upstreams.ts";
import { authorityOf } from "../metrics/request-names.ts";
import type { Counter, HttpSeries, Labels, TcpSeries } from "../metrics/series.ts";
import type { InboundServer, Permit, RouteMatch } from "../policy/inbound.ts";
import { targetLabels, tlsLabels } from "../tcp/labels.ts";
import { type Address, ConnectError } from "../transport/stream.ts";
import { whileAuthorized } from "./authorized.ts";
import type { InboundPeer } from "./peer.ts";
import type { Application, InboundSide } from "./side.ts";

/** The application, by the route and authorization that led to it. */
class InboundDestination implements Destination {
  readonly #application: Application;
  readonly series: HttpSeries;
  readonly allowed: Counter;
  readonly route: RouteMatch;
  readonly permit: Permit;
  readonly authority: string | undefined;
  readonly observed: ObservedServer;
  readonly rule: RouteRule;
  readonly meshed = false;
  readonly #load: Load;

  constructor(
    application: Application,
    load: Load,
    observed: ObservedServer,
    series: HttpSeries,
    allowed: Counter,
    route: RouteMatch,
    permit: Permit,
    authority: string | undefined,
    rule: RouteRule,
  ) {
    this.authority = authority;
    this.rule = rule;
    this.#load = load;
    this.#application = application;
    this.observed = observed;
    this.series = series;
    this.allowed = allowed;
    this.route = route;
    this.permit = permit;
  }

  http1(): Http1Upstreams {
    return this.#application.http1;
  }

  http2(downgrade: boolean): Http2Upstreams {
    return downgrade ? this.#application.downgraded : this.#application.http2;
  }

  started(): void {
    this.#load.requests++;
  }

  answered(): void {}

  ended(): void {
    this.#load.requests--;
  }
}

/** A client meets few routes; when policies change, their objects do. */
const MAX_DESTINATIONS = 64;

export class InboundHttp implements HttpService {
  readonly audience: Audience;
  readonly requestLines: Buffer;
  readonly tcp: TcpSeries;
  readonly #side: InboundSide;
  readonly #peer: InboundPeer;
  readonly #target: Address;
  readonly #application: Application;
  readonly #targetLabels: Labels;
  readonly #tlsLabels: Labels;
  #destinations: InboundDestination[] = [];
  #server: InboundServer;
  /** Made with the first request that somebody watches. */
  #observer: ConnectionObserver | undefined;
  readonly #observedServer: ObservedServer;
  readonly #onClosed: () => void;

  constructor(side: InboundSide, peer: InboundPeer, target: Address, tcp: TcpSeries, onClosed: () => void) {
    this.#side = side;
    this.#peer = peer;
    this.#target = target;
    this.tcp = tcp;
    this.#onClosed = onClosed;
    this.#application = side.useApplication(target);
    this.#observedServer = { address: target, labels: [] };
    this.#targetLabels = targetLabels(target.ip, target.port);
    this.#tlsLabels = tlsLabels(peer.tls, "client_id");
    this.#server = side.options.policies.port(target.port);
    const { identity } = peer.client;
    this.audience = { meshed: identity !== undefined, informed: identity !== undefined };
    this.requestLines = Buffer.from(identity === undefined ? "" : `l5d-client-id: ${identity}\r\n`, "latin1");
  }

  choose(request: RequestHead, routing: Routing, now: number): Choice {
    const { load } = this.#side;
    if (load.requests >= load.most) {
      return new Refusal("load-shed", `this proxy has ${load.most} requests under way, as many as it may`);
    }
    const server = this.#side.options.policies.port(this.#target.port);
    if (server !== this.#server) {
      this.#server = server;
      this.#destinations = [];
    }
    const route = server.route(request);
    if (route === undefined) {
      this.#count("inbound_http_route_not_found_total", []);
      return new Refusal("no-route", "no route of this port's policy matches the request");
    }
    const permit = route.authorize(this.#peer.client);
    if (permit === undefined) {
      routing.rule = this.#side.ruleOf(server, route);
      this.#count("inbound_http_authz_deny_total", route.labels);
      this.#side.tell("denied a request", this.#peer.client, server);
      return new Refusal("unauthorized", "the policy of this port does not authorize the client");
    }
    const authority = this.#side.options.authorityLabels === true ? authorityOf(request) : undefined;
    const destination = this.#destination(route, permit, authority);
    destination.allowed.add();
    routing.rule = destination.rule;
    const refusal = route.refuse?.(request);
    if (refusal !== undefined) return refusal;
    const excess = route.probe ? undefined : server.rateLimit?.take(this.#peer.client.identity, now);
    if (excess === undefined) return destination;
    this.#count("inbound_http_local_ratelimit_total", [...route.labels, ...excess.labels]);
    return new Refusal(
      "rate-limited",
      `the policy of this port takes no more than ${excess.requestsPerSecond} requests a second`,
    );
  }

  #destination(route: RouteMatch, permit: Permit, authority: string | undefined): InboundDestination {
    for (const known of this.#destinations) {
      if (known.route === route && known.permit === permit && known.authority === authority) return known;
    }
    if (permit.audit) this.#side.tell("only audits requests", this.#peer.client, this.#server);
    if (this.#destinations.length >= MAX_DESTINATIONS) this.#destinations = [];
    const { metrics } = this.#side.options;
    const policy = [...this.#server.labels, ...route.labels, ...permit.labels];
    const series = metrics.http([
      ["direction", "inbound"],
      ...(authority === undefined ? [] : [["authority", authority] as const]),
      ...this.#targetLabels,
      ...this.#tlsLabels,
      ...policy,
    ]);
    const allowed = metrics.counter("inbound_http_authz_allow_total", [
      ...this.#targetLabels,
      ...policy,
      ...this.#tlsLabels,
    ]);
    const made = new InboundDestination(
      this.#application,
      this.#side.load,
      this.#observedServer,
      series,
      allowed,
      route,
      permit,
      authority,
      this.#side.ruleOf(this.#server, route),
    );
    this.#destinations.push(made);
    return made;
  }

  again(failed: Destination, _routing: Routing, error: Error, began: number): Choice {
    const timedOut = error instanceof ConnectError && error.code === "ETIMEDOUT";
    // A meshed client sends it elsewhere: only for others is this the answer.
    if (!this.audience.meshed) {
      failed.series.request();
      failed.series.response(timedOut ? 504 : 502, performance.now() - began, true);
    }
    return new Refusal(timedOut ? "connect-timeout" : "refused", error.message, { undelivered: true });
  }

  /** Authorized again with each policy, as the request that made it. */
  tunnelled(request: RequestHead, end: () => void): () => void {
    const { client } = this.#peer;
    const permits = (server: InboundServer): boolean =>
      server.protocol === "opaque" || server.protocol === "tls"
        ? server.authorizeConnection(client) !== undefined
        : server.route(request)?.authorize(client) !== undefined;
    return whileAuthorized(this.#side, this.#peer, this.#target, permits, end);
  }

  refused(refusal: Refusal): void {
    if (refusal.error === undefined) return;
    this.#side.options.metrics
      .counter("inbound_http_errors_total", [["error", refusal.error], ...this.#targetLabels, ...this.#server.labels])
      .add();
  }

  #count(name: string, labels: Labels): void {
    this.#side.options.metrics
      .counter(name, [...this.#targetLabels, ...this.#server.labels, ...labels, ...this.#tlsLabels])
      .add();
  }

  get observed(): boolean {
    return this.#side.watchers.observed;
  }

  observe(request: RequestHead): Observation | undefined {
    this.#observer ??= new ConnectionObserver(this.#side.watchers, {
      direction: "inbound",
      address: this.#peer.remote,
      labels: this.#tlsLabels,
      identity: this.#peer.client.identity,
    });
    return this.#observer.open(request);
  }

  closed(): void {
    this.#side.leaveApplication(this.#target);
    this.#onClosed();
  }
}
