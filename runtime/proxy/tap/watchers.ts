/** The hub between requests that pass and those who watch. Values of sensitive headers end here. */
import type { Headers, HttpMethod } from "../../api/gen/io/linkerd/proxy/http_types.ts";
import type { Eos, TapEvent, TapEvent_Http } from "../../api/gen/io/linkerd/proxy/tap.ts";
import { durationOfMs } from "../control/duration.ts";
import type { ExchangeEnd } from "../http/observer.ts";
import type { HeaderList } from "../http/request-head.ts";
import type { Labels } from "../metrics/series.ts";
import { ipToWire } from "../policy/networks.ts";
import { REGISTERED_METHODS } from "../route/match.ts";
import type { TapExchange, TapHub, TapRequest } from "./hub.ts";
import type { TapTest } from "./matcher.ts";
import { isSensitive, REDACTED } from "./redact.ts";

export interface TapWatcher {
  readonly matches: TapTest;
  /** Requests to show before it ends. */
  readonly limit: number;
  readonly headers: boolean;
  /** @returns false where the receiver is behind: further requests are not shown until it has caught up */
  readonly send: (event: TapEvent) => boolean;
  /** `limit` requests were shown to their ends. */
  readonly done: () => void;
}

export interface WatchingTap {
  /** The receiver takes events again. */
  resume(): void;
  stop(): void;
}

/** Tells this process's streams apart from those of the one before it. */
const BASE = (Math.random() * 0xffff_ffff) >>> 0;

export class TapWatchers implements TapHub {
  readonly #watchers = new Set<Watching>();
  #streams = 0n;
  /** A field, not a getter over the set: it is read for every request. */
  active = false;

  watch(watcher: TapWatcher): WatchingTap {
    const watching = new Watching(watcher, () => {
      this.#watchers.delete(watching);
      this.active = this.#watchers.size > 0;
    });
    this.#watchers.add(watching);
    this.active = true;
    return watching;
  }

  open(request: TapRequest): TapExchange | undefined {
    const matching = [...this.#watchers].filter((watching) => watching.wants(request));
    if (matching.length === 0) return undefined;
    return new Exchange(request, this.#streams++, matching);
  }
}

class Watching implements WatchingTap {
  readonly watcher: TapWatcher;
  readonly #remove: () => void;
  #remaining: number;
  #open = 0;
  #behind = false;
  #over = false;

  constructor(watcher: TapWatcher, remove: () => void) {
    this.watcher = watcher;
    this.#remaining = watcher.limit;
    this.#remove = remove;
  }

  wants(request: TapRequest): boolean {
    return !this.#over && !this.#behind && this.#remaining > 0 && this.watcher.matches(request);
  }

  opened(): void {
    this.#remaining--;
    this.#open++;
  }

  send(event: TapEvent): void {
    if (!this.#over && !this.watcher.send(event)) this.#behind = true;
  }

  ended(): void {
    this.#open--;
    if (this.#over || this.#remaining > 0 || this.#open > 0) return;
    this.stop();
    this.watcher.done();
  }

  resume(): void {
    this.#behind = false;
  }

  stop(): void {
    this.#over = true;
    this.#remove();
  }
}

class Exchange implements TapExchange {
  readonly #watching: readonly Watching[];
  readonly #frame: Omit<TapEvent, "event">;
  readonly #id: { readonly base: number; readonly stream: bigint };
  readonly #began = performance.now();
  readonly #wantsHeaders: boolean;
  #responded: number | undefined;
  #ended = false;

  constructor(request: TapRequest, stream: bigint, watching: readonly Watching[]) {
    this.#watching = watching;
    this.#id = { base: BASE, stream };
    this.#wantsHeaders = watching.some(({ watcher }) => watcher.headers);
    this.#frame = {
      source: { ip: ipToWire(request.source.ip), port: request.source.port },
      sourceMeta: { labels: labelMap(request.sourceLabels) },
      routeMeta: { labels: labelMap(request.routeLabels) },
      destination: { ip: ipToWire(request.destination.ip), port: request.destination.port },
      destinationMeta: { labels: labelMap(request.destinationLabels) },
      proxyDirection: request.direction === "inbound" ? 1 : 2,
    };
    for (const each of watching) each.opened();
    this.#send(
      () => request.headers(),
      (headers) => ({
        $case: "requestInit",
        value: {
          id: this.#id,
          method: methodOf(request.method),
          scheme: { type: { $case: "registered", value: request.scheme === "http" ? 0 : 1 } },
          authority: request.authority,
          path: request.path,
          headers,
        },
      }),
    );
  }

  response(status: number, headers: () => HeaderList): void {
    if (this.#responded !== undefined || this.#ended) return;
    this.#responded = performance.now();
    const sinceRequestInit = durationOfMs(this.#responded - this.#began);
    this.#send(headers, (sent) => ({
      $case: "responseInit",
      value: { id: this.#id, sinceRequestInit, httpStatus: status, headers: sent },
    }));
  }

  end(end: ExchangeEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    const now = performance.now();
    const { trailers } = end;
    const eos = eosOf(end);
    this.#send(trailers === undefined ? undefined : () => trailers, (sent) => ({
      $case: "responseEnd",
      value: {
        id: this.#id,
        sinceRequestInit: durationOfMs(now - this.#began),
        sinceResponseInit: this.#responded === undefined ? undefined : durationOfMs(now - this.#responded),
        responseBytes: BigInt(end.responseBytes),
        eos,
        trailers: sent,
      },
    }));
    for (const each of this.#watching) each.ended();
  }

  #send(
    headers: (() => HeaderList) | undefined,
    make: (headers: Headers | undefined) => NonNullable<TapEvent_Http["event"]>,
  ): void {
    const sent = headers !== undefined && this.#wantsHeaders ? redact(headers()) : undefined;
    for (const each of this.#watching) {
      const event = make(each.watcher.headers ? sent : undefined);
      each.send({ ...this.#frame, event: { $case: "http", value: { event } } });
    }
  }
}

/** A stream that was broken off has no status that counts. */
function eosOf({ reset, grpcStatus }: ExchangeEnd): Eos | undefined {
  if (reset !== undefined) return { end: { $case: "resetErrorCode", value: reset } };
  return grpcStatus === undefined ? undefined : { end: { $case: "grpcStatusCode", value: grpcStatus } };
}

function redact(headers: HeaderList): Headers {
  return {
    headers: headers.map(([name, value]) => ({
      name,
      value: Buffer.from(isSensitive(name.toLowerCase()) ? REDACTED : value, "latin1"),
    })),
  };
}

function methodOf(method: string): HttpMethod {
  const registered = REGISTERED_METHODS.indexOf(method);
  return {
    type:
      registered === -1
        ? { $case: "unregistered", value: method }
        : { $case: "registered", value: registered as HttpRegistered },
  };
}

type HttpRegistered = Extract<NonNullable<HttpMethod["type"]>, { $case: "registered" }>["value"];

/** Names as discovery gives them: without the prefix that metrics put before them. */
function labelMap(labels: Labels): Record<string, string> {
  return Object.fromEntries(labels.map(([name, value]) => [name.replace(/^(?:dst|rt)_/, ""), value]));
}
