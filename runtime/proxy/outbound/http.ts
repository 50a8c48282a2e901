/** HTTP on the outbound side: each request goes to an endpoint of its target's balancer, or to the one there is. */

import { type Audience, Refusal } from "../http/failure.ts";
import type { Observation } from "../http/observer.ts";
import { ConnectionObserver } from "../http/observers.ts";
import type { RequestHead } from "../http/request-head.ts";
import { NO_RULE, type RouteRule } from "../http/route-rule.ts";
import type { Choice, Destination, HttpService, Routing } from "../http/service.ts";
import { hostnameOf } from "../metrics/request-names.ts";
import type { TcpSeries } from "../metrics/series.ts";
import { namedRule, namedWishes } from "../route/hostname.ts";
import { type OwnWishes, ownWishes } from "../route/own-wishes.ts";
import { distribute, type Route, type RouteChoice } from "../route/table.ts";
import type { Address } from "../transport/stream.ts";
import { BackendUse } from "./backend-use.ts";
import type { HttpEndpoint } from "./endpoint.ts";
import type { OutboundSide } from "./side.ts";
import type { Backend, OutboundTarget } from "./target.ts";

const NOTHING = Buffer.alloc(0);
const LOOK_AGAIN_MS = 500;

type BackendChoice = RouteChoice<Backend>;

/** A request's way where it is one of several, or where the request itself asks for something: `Routing.backend` then. */
interface Selection {
  readonly route: Route<Backend>;
  choice: BackendChoice;
  /** What the request's own headers change of each choice's rule. */
  readonly own: OwnWishes | undefined;
}

export class OutboundHttp implements HttpService {
  readonly audience: Audience;
  readonly requestLines = NOTHING;
  readonly tcp: TcpSeries;
  readonly #side: OutboundSide;
  readonly #client: Address;
  readonly #original: Address;
  readonly #version: "http1" | "http2";
  #target: OutboundTarget;
  /** What is used of backends: their balancers, or the only endpoint. */
  readonly #uses = new Map<Backend, BackendUse>();
  /** Where all requests go the same way, and none of them need be looked at. */
  #plain: { readonly rule: RouteRule | undefined; readonly use: BackendUse } | undefined;
  /** Monotonic time at which the target is looked up again. */
  #lookAt = 0;
  /** Made with the first request that somebody watches. */
  #observer: ConnectionObserver | undefined;
  readonly #onClosed: () => void;
  #over = false;

  constructor(
    side: OutboundSide,
    client: Address,
    original: Address,
    version: "http1" | "http2",
    target: OutboundTarget,
    tcp: TcpSeries,
    onClosed: () => void,
  ) {
    this.#side = side;
    this.#client = client;
    this.#original = original;
    this.#version = version;
    this.#target = target;
    this.tcp = tcp;
    this.#onClosed = onClosed;
    this.audience = { meshed: false, informed: side.options.informationalHeaders ?? true };
    this.#setPlain();
  }

  #setPlain(): void {
    const { [this.#version]: routes, backend } = this.#target;
    // Series by host: each request is looked at.
    const plain = this.#side.options.hostnameLabels === true ? undefined : routes?.plain;
    if (plain !== undefined) this.#plain = { rule: plain.rule, use: this.#use(plain.backend) };
    else this.#plain = routes === undefined ? { rule: undefined, use: this.#use(backend) } : undefined;
  }

  #use(backend: Backend): BackendUse {
    let use = this.#uses.get(backend);
    if (use === undefined) {
      use = new BackendUse(this.#side, backend);
      // Whoever is still on the way after the end holds nothing for the next one.
      if (this.#over) use.leave();
      else this.#uses.set(backend, use);
    }
    return use;
  }

  #leave(): void {
    for (const use of this.#uses.values()) use.leave();
    this.#uses.clear();
  }

  /** A client's connection may outlive its target's policy. What is under way ends where it went. */
  #lookAgain(now: number): void {
    const { ip, port } = this.#original;
    const { targets } = this.#side.options;
    const target = targets.acquire(ip, port);
    targets.release(ip, port);
    this.#lookAt = now + LOOK_AGAIN_MS;
    if (target instanceof Promise || target === this.#target) return;
    const former = [...this.#uses.values()];
    this.#uses.clear();
    this.#target = target;
    this.#setPlain();
    for (const use of former) use.leave();
  }

  choose(request: RequestHead, routing: Routing, now: number): Choice | Promise<Choice> {
    const { load } = this.#side.options;
    if (load !== undefined && load.requests >= load.most) {
      return new Refusal("load-shed", `this proxy has ${load.most} requests under way, as many as it may`);
    }
    if (now >= this.#lookAt) this.#lookAgain(now);
    const plain = this.#plain;
    if (plain !== undefined && request.directed !== true) {
      routing.rule = plain.rule;
      routing.backend = plain.use;
      return plain.use.take() ?? plain.use.wait(0, "no endpoint is ready");
    }
    return this.#route(request, routing);
  }

  #route(request: RequestHead, routing: Routing): Choice | Promise<Choice> {
    routing.rule = undefined;
    routing.backend = undefined;
    const { [this.#version]: routes, backend } = this.#target;
    const route = routes === undefined ? wholeTarget(backend) : routes.find(request);
    if (route === undefined) return new Refusal("no-route", "no route of the destination's policy matches the request");
    const [first] = route.choices;
    const hostname = this.#side.options.hostnameLabels === true ? hostnameOf(request) : undefined;
    routing.rule = first === undefined || hostname === undefined ? first?.rule : namedRule(first.rule, hostname);
    const refusal = route.refuse?.(request);
    if (refusal !== undefined) return refusal;
    if (first === undefined) return new Refusal("injected", "the route has no backend", { status: 500 });
    const asked = ownWishes(request, route.overridable);
    const own = hostname === undefined ? asked : namedWishes(asked, hostname);
    const selection: Selection = { route, choice: first, own };
    routing.backend = selection;
    return this.#distribute(selection, routing, request);
  }

  #distribute(selection: Selection, routing: Routing, request?: RequestHead): Choice | Promise<Choice> {
    const { own } = selection;
    const found = distribute(selection.route, ({ backend }) => this.#use(backend).take());
    if (found === undefined) return new Refusal("injected", "the route has no backend", { status: 500 });
    const { choice, taken } = found;
    selection.choice = choice;
    routing.rule = own === undefined ? choice.rule : own.apply(choice.rule);
    const refusal = request === undefined ? undefined : choice.refuse?.(request);
    if (refusal !== undefined) return refusal;
    const chosen = taken ?? this.#use(choice.backend).wait(0, "no endpoint is ready");
    const wanted = own?.requiredIdentity;
    if (wanted === undefined) return chosen;
    return chosen instanceof Promise ? chosen.then((known) => required(known, wanted)) : required(chosen, wanted);
  }

  retry(routing: Routing): Choice | Promise<Choice> {
    const chosen = routing.backend as BackendUse | Selection;
    if (chosen instanceof BackendUse) return chosen.take() ?? chosen.wait(0, "no endpoint is ready");
    return this.#distribute(chosen, routing);
  }

  again(failed: Destination, routing: Routing, error: Error, began: number): Choice | Promise<Choice> {
    const chosen = routing.backend as BackendUse | Selection;
    const use = chosen instanceof BackendUse ? chosen : this.#use(chosen.choice.backend);
    const found = use.again(failed as HttpEndpoint, error, began);
    const wanted = chosen instanceof BackendUse ? undefined : chosen.own?.requiredIdentity;
    if (wanted === undefined || found instanceof Refusal) return found;
    return found.then((known) => required(known, wanted));
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
    this.#over = true;
    this.#leave();
    this.#onClosed();
  }
}

/** Where there are no routes, and the request asks for something all the same. */
function wholeTarget(backend: Backend): Route<Backend> {
  return {
    refuse: undefined,
    choices: [{ backend, weight: 1, rule: NO_RULE, refuse: undefined }],
    weighted: false,
    overridable: false,
  };
}

/** l5d-require-id (reference 5.8). */
function required(choice: Choice, identity: string): Choice {
  if (choice instanceof Refusal) return choice;
  const { endpoint, meshed } = choice as HttpEndpoint;
  if (meshed && endpoint.tls?.identity === identity) return choice;
  const found = meshed ? `is ${endpoint.tls?.identity}` : "has no identity";
  return new Refusal("identity-required", `the request requires ${identity}; the endpoint ${found}`);
}
