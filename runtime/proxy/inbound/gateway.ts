/**
 * A gateway (reference 5.6, 9.11): what another cluster's proxies send to this proxy for Services of its own. The policy of the
 * proxy's port decides who may come in, INBOUND_GATEWAY_SUFFIXES where to; from there on requests go the outbound side's way.
 */
import type { Audience } from "../http/failure.ts";
import { Refusal } from "../http/failure.ts";
import type { Observation } from "../http/observer.ts";
import type { RequestHead } from "../http/request-head.ts";
import type { Choice, Destination, HttpService, Routing } from "../http/service.ts";
import type { TcpSeries } from "../metrics/series.ts";
import { OutboundHttp } from "../outbound/http.ts";
import type { OutboundSide } from "../outbound/side.ts";
import type { OutboundTarget } from "../outbound/target.ts";
import { chooseTcp, connectBackend } from "../outbound/tcp-backend.ts";
import { formatAddress } from "../policy/networks.ts";
import type { ForwardOptions } from "../tcp/forward.ts";
import type { InboundHttp } from "./http.ts";
import type { InboundPeer } from "./peer.ts";
import type { Gateway } from "./side.ts";

/** Whether a gateway leads to `name`: a suffix, by whole labels. */
export function leadsTo({ suffixes }: Gateway, name: string): boolean {
  const wanted = name.toLowerCase().replace(/\.$/, "");
  return suffixes.some((suffix) => wanted === suffix || wanted.endsWith(`.${suffix}`));
}

/** How a connection of bytes goes on. */
export interface Way {
  readonly connect: ForwardOptions["connect"];
  /** It is over. */
  readonly done?: () => void;
}

/** @param release of the target, once */
export function gatewayWay(outbound: OutboundSide, target: OutboundTarget, release: () => void): Way {
  const { backend } = chooseTcp(target, undefined);
  if (backend.kind === "balancer") outbound.useBalancers(backend);
  return {
    connect: (owner) => connectBackend(outbound, backend, owner),
    done: () => {
      if (backend.kind === "balancer") outbound.leave(backend);
      release();
    },
  };
}

export interface GatewayHttpOptions {
  readonly gateway: Gateway;
  readonly target: OutboundTarget;
  /** Of the Service. */
  readonly name: string;
  readonly port: number;
  readonly protocol: "http1" | "http2";
  /** This proxy's own identity. */
  readonly identity: string;
  readonly peer: InboundPeer;
  /** The policy of the proxy's port. */
  readonly entrance: InboundHttp;
}

export class GatewayHttp implements HttpService {
  readonly audience: Audience;
  readonly requestLines: Buffer;
  readonly tcp: TcpSeries;
  readonly #identity: string;
  readonly #entrance: InboundHttp;
  readonly #way: OutboundHttp;

  constructor({ gateway, target, name, port, protocol, identity, peer, entrance }: GatewayHttpOptions) {
    this.audience = entrance.audience;
    this.tcp = entrance.tcp;
    this.#identity = identity;
    this.#entrance = entrance;
    const { remote, client } = peer;
    const service = { ip: name, port };
    const none = (): void => undefined;
    this.#way = new OutboundHttp(gateway.outbound, remote, service, protocol, target, entrance.tcp, none);
    const said = [
      `by=${identity}`,
      `for=${client.identity ?? "unknown"}`,
      `host="${formatAddress(name, port)}"`,
      "proto=https",
    ];
    this.requestLines = Buffer.from(`forwarded: ${said.join(";")}\r\n`, "latin1");
  }

  choose(request: RequestHead, routing: Routing, now: number): Choice | Promise<Choice> {
    const entered = this.#entrance.choose(request, routing, now);
    if (entered instanceof Refusal) return entered;
    if (request.header("forwarded") !== undefined && isForwardedBy(request, this.#identity)) {
      return new Refusal("loop", `the request has come through ${this.#identity} before`);
    }
    return this.#way.choose(request, routing, now);
  }

  again(failed: Destination, routing: Routing, error: Error, began: number): Choice | Promise<Choice> {
    return this.#way.again(failed, routing, error, began);
  }

  retry(routing: Routing): Choice | Promise<Choice> {
    return this.#way.retry(routing);
  }

  tunnelled(request: RequestHead, end: () => void): () => void {
    return this.#entrance.tunnelled(request, end);
  }

  refused(refusal: Refusal): void {
    this.#entrance.refused(refusal);
  }

  get observed(): boolean {
    return this.#entrance.observed;
  }

  observe(request: RequestHead): Observation | undefined {
    return this.#entrance.observe(request);
  }

  closed(): void {
    this.#way.closed();
    this.#entrance.closed();
  }
}

/** RFC 7239, section 4. */
function isForwardedBy(request: RequestHead, identity: string): boolean {
  const wanted = identity.toLowerCase();
  return request
    .headers()
    .filter(([name]) => name === "forwarded")
    .flatMap(([, value]) => value.split(/[,;]/))
    .some((pair) => {
      const [key = "", value = ""] = pair.trim().split("=");
      return key.toLowerCase() === "by" && value.replaceAll('"', "").toLowerCase() === wanted;
    });
}
