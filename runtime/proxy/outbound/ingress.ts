/**
 * HTTP in ingress mode (reference 9.11): each request goes to the Service that its own l5d-dst-override names, and by the original
 * destination without one. A Service is asked for when the first request names it; that request waits.
 */
import { isIP } from "node:net";
import { type Audience, Refusal } from "../http/failure.ts";
import type { Observation } from "../http/observer.ts";
import { ConnectionObserver } from "../http/observers.ts";
import type { RequestHead } from "../http/request-head.ts";
import { type HeadEdits, NO_RULE, type RouteRule } from "../http/route-rule.ts";
import type { Choice, Destination, HttpService, Routing } from "../http/service.ts";
import type { TcpSeries } from "../metrics/series.ts";
import { mergeEdits } from "../route/head-edits.ts";
import type { Address } from "../transport/stream.ts";
import { OutboundHttp } from "./http.ts";
import type { OutboundSide } from "./side.ts";

const OVERRIDE = "l5d-dst-override";
const STRIP: HeadEdits = { remove: [OVERRIDE], set: [], add: [] };
const DEFAULT_PORT = 80;
/** A client's connection may name any number of Services; so many are held at once. */
const MAX_WAYS = 64;

/** `undefined`: it is being asked for. */
interface Way {
  http: OutboundHttp | undefined;
  readonly known: Promise<void>;
  readonly close: () => void;
}

export class IngressHttp implements HttpService {
  readonly audience: Audience;
  readonly requestLines: Buffer = Buffer.alloc(0);
  readonly tcp: TcpSeries;
  readonly #side: OutboundSide;
  readonly #client: Address;
  readonly #original: Address;
  readonly #version: "http1" | "http2";
  /** By what the header says; the original destination's under its absence. The first was used longest ago. */
  readonly #ways = new Map<string | undefined, Way>();
  /** Which way an exchange went, for its further tries. */
  readonly #taken = new WeakMap<Routing, { readonly way: OutboundHttp; readonly named: boolean }>();
  #observer: ConnectionObserver | undefined;
  readonly #onClosed: () => void;

  constructor(
    side: OutboundSide,
    client: Address,
    original: Address,
    version: "http1" | "http2",
    tcp: TcpSeries,
    onClosed: () => void,
  ) {
    this.#side = side;
    this.#client = client;
    this.#original = original;
    this.#version = version;
    this.tcp = tcp;
    this.#onClosed = onClosed;
    this.audience = { meshed: false, informed: side.options.informationalHeaders ?? true };
  }

  prepare(request: RequestHead): Promise<void> | undefined {
    const said = request.header(OVERRIDE);
    const way = this.#ways.get(said) ?? this.#open(said);
    return way === undefined || way.http !== undefined ? undefined : way.known;
  }

  /** undefined: it names nothing. */
  #open(said: string | undefined): Way | undefined {
    const where = said === undefined ? this.#original : serviceOf(said);
    if (where === undefined) return undefined;
    const { targets } = this.#side.options;
    const { ip, port } = where;
    let closed = false;
    const release = (): void => targets.release(ip, port);
    const acquired = targets.acquire(ip, port);
    const way: Way = {
      http: undefined,
      known: Promise.resolve(acquired).then((target) => {
        if (closed) return;
        way.http = new OutboundHttp(this.#side, this.#client, where, this.#version, target, this.tcp, release);
      }),
      close: () => {
        closed = true;
        if (way.http === undefined) release();
        else way.http.closed();
      },
    };
    this.#makeRoom();
    this.#ways.set(said, way);
    return way;
  }

  #makeRoom(): void {
    for (const [said, way] of this.#ways) {
      if (this.#ways.size < MAX_WAYS) return;
      // Requests wait for what is not known yet.
      if (way.http === undefined) continue;
      this.#ways.delete(said);
      way.close();
    }
  }

  choose(request: RequestHead, routing: Routing, now: number): Choice | Promise<Choice> {
    const said = request.header(OVERRIDE);
    const way = this.#ways.get(said)?.http;
    routing.rule = undefined;
    if (way === undefined) {
      return new Refusal("malformed", `${OVERRIDE} is no name of a Service with a port: ${said ?? ""}`);
    }
    const named = said !== undefined;
    this.#taken.set(routing, { way, named });
    const choice = way.choose(request, routing, now);
    if (named) routing.rule = stripped(routing.rule);
    return choice;
  }

  retry(routing: Routing): Choice | Promise<Choice> {
    const taken = this.#taken.get(routing);
    if (taken === undefined) return new Refusal("unexpected", "there is no other try");
    const choice = taken.way.retry(routing);
    if (taken.named) routing.rule = stripped(routing.rule);
    return choice;
  }

  again(failed: Destination, routing: Routing, error: Error, began: number): Choice | Promise<Choice> {
    const taken = this.#taken.get(routing);
    return taken?.way.again(failed, routing, error, began) ?? new Refusal("refused", error.message);
  }

  refused(refusal: Refusal): void {
    this.#side.refused(refusal);
  }

  get observed(): boolean {
    return this.#side.watchers.observed;
  }

  observe(request: RequestHead): Observation | undefined {
    this.#observer ??= new ConnectionObserver(this.#side.watchers, {
      direction: "outbound",
      address: this.#client,
      labels: [],
      identity: undefined,
    });
    return this.#observer.open(request);
  }

  closed(): void {
    for (const way of this.#ways.values()) way.close();
    this.#ways.clear();
    this.#onClosed();
  }
}

const strippedRules = new WeakMap<RouteRule, RouteRule>();

/** Nobody but this proxy is told where the request was to go. */
function stripped(rule: RouteRule = NO_RULE): RouteRule {
  let made = strippedRules.get(rule);
  if (made === undefined) {
    made = { ...rule, request: mergeEdits(STRIP, rule.request) };
    strippedRules.set(rule, made);
  }
  return made;
}

/** `name:port`, by default at port 80, as Linkerd reads it. An address is no name of a Service. */
function serviceOf(said: string): Address | undefined {
  const match = /^([a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)\.?(?::(\d{1,5}))?$/i.exec(said.trim());
  const name = match?.[1];
  const port = match?.[2] === undefined ? DEFAULT_PORT : Number(match[2]);
  if (name === undefined || isIP(name) !== 0 || port === 0 || port > 65_535) return undefined;
  return { ip: name.toLowerCase(), port };
}
