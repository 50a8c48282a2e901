/** Tap, access log and tracing as one {@link ExchangeObserver}: that of a client's connection. */
import type { AccessEntry, AccessLog } from "../access-log/access-log.ts";
import type { TapExchange, TapHub } from "../tap/hub.ts";
import type { ActiveSpan, Tracer } from "../trace/tracer.ts";
import type { ExchangeEnd, ExchangeObserver, Observation, ObservedClient, ObservedServer } from "./observer.ts";
import type { HeaderList, RequestHead } from "./request-head.ts";
import type { HeadEdits, RouteRule } from "./route-rule.ts";

/** What a side of the proxy watches with. */
export class Watchers {
  readonly tap: TapHub;
  readonly accessLog: AccessLog | undefined;
  readonly tracer: Tracer | undefined;
  readonly #always: boolean;

  /** Absent: not configured. */
  constructor(options: { tap: TapHub; accessLog?: AccessLog | undefined; tracer?: Tracer | undefined }) {
    this.tap = options.tap;
    this.accessLog = options.accessLog;
    this.tracer = options.tracer;
    this.#always = this.accessLog !== undefined || this.tracer !== undefined;
  }

  get observed(): boolean {
    return this.tap.active || this.#always;
  }
}

export class ConnectionObserver implements ExchangeObserver {
  readonly #watchers: Watchers;
  readonly #client: ObservedClient;

  constructor(watchers: Watchers, client: ObservedClient) {
    this.#watchers = watchers;
    this.#client = client;
  }

  get observed(): boolean {
    return this.#watchers.observed;
  }

  open(request: RequestHead): Observation | undefined {
    const { tap, accessLog, tracer } = this.#watchers;
    const entry = accessLog?.open(request, this.#client);
    const span = tracer?.open(request, this.#client);
    if (entry === undefined && span === undefined && !tap.active) return undefined;
    return new Watched(entry, span, tap.active ? new TapPart(tap, this.#client, request) : undefined);
  }
}

class Watched implements Observation {
  readonly #entry: AccessEntry | undefined;
  readonly #span: ActiveSpan | undefined;
  readonly #tap: TapPart | undefined;

  constructor(entry: AccessEntry | undefined, span: ActiveSpan | undefined, tap: TapPart | undefined) {
    this.#entry = entry;
    this.#span = span;
    this.#tap = tap;
  }

  get edits(): HeadEdits | undefined {
    return this.#span?.edits;
  }

  sent(server: ObservedServer, rule: RouteRule | undefined): void {
    this.#entry?.sent();
    this.#tap?.sent(server, rule);
  }

  left(end: ExchangeEnd): void {
    this.#tap?.left(end);
    this.#span?.left(end);
  }

  response(status: number, headers: () => HeaderList): void {
    this.#entry?.response(status, headers);
    this.#tap?.response(status, headers);
  }

  ended(status: number): void {
    this.#entry?.ended();
    this.#span?.ended(status);
  }
}

/** A request as tap sees it: each try is one of its own, with the server it went to. */
class TapPart {
  readonly #hub: TapHub;
  readonly #client: ObservedClient;
  readonly #request: {
    readonly method: string;
    readonly scheme: "http" | "https";
    readonly authority: string;
    readonly path: string;
    readonly headers: HeaderList;
  };
  #exchange: TapExchange | undefined;

  constructor(hub: TapHub, client: ObservedClient, request: RequestHead) {
    this.#hub = hub;
    this.#client = client;
    const { method, scheme, authority, path, query } = request;
    const target = query === "" ? path : `${path}?${query}`;
    this.#request = { method, scheme, authority, path: target, headers: request.headers() };
  }

  sent(server: ObservedServer, rule: RouteRule | undefined): void {
    const { headers, ...request } = this.#request;
    this.#exchange = this.#hub.open({
      ...request,
      direction: this.#client.direction,
      source: this.#client.address,
      sourceLabels: this.#client.labels,
      destination: server.address,
      destinationLabels: server.labels,
      routeLabels: rule?.labels ?? [],
      headers: () => headers,
    });
  }

  /** Of a server: the proxy's own answers are no server's. */
  response(status: number, headers: () => HeaderList): void {
    this.#exchange?.response(status, headers);
  }

  left(end: ExchangeEnd): void {
    this.#exchange?.end(end);
    this.#exchange = undefined;
  }
}
