/** The HTTP/2 relay between a client and servers that play plans, all in memory: bytes, windows and turns as a seed has them. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Refusal } from "../../../../runtime/proxy/http/failure.ts";
import type { RouteRule } from "../../../../runtime/proxy/http/route-rule.ts";
import type { Choice, Destination, HttpService } from "../../../../runtime/proxy/http/service.ts";
import { Http2Pool } from "../../../../runtime/proxy/http2/pool.ts";
import { ServerSession } from "../../../../runtime/proxy/http2/server-session.ts";
import type { TcpSeries } from "../../../../runtime/proxy/metrics/series.ts";
import type { Http2Stream } from "../../../../runtime/wire/http2/stream.ts";
import { type Fields, fieldsOf, type Random, random, Talk, type WireEnd, wireClient, wireServer } from "./peers.ts";
import { type PipeEnd, pipe } from "./pipe.ts";

/** What a server does with one try. */
export type Behaviour =
  /** `early`: without waiting for the request. `stops`: and asks for no more of it, once it has said all. */
  | {
      readonly kind: "answer";
      readonly status: string;
      readonly bytes: number;
      readonly fields?: Fields;
      readonly trailers?: Fields;
      readonly early?: boolean;
      readonly stops?: boolean;
      readonly interim?: boolean;
    }
  /** RST_STREAM, after so many bytes of an answer; -1: before its head. */
  | { readonly kind: "reset"; readonly code: number; readonly after: number }
  /** No end, after so many bytes of an answer. */
  | { readonly kind: "stuck"; readonly after: number }
  | { readonly kind: "silence" };

export interface Plan {
  readonly method: string;
  readonly bytes: number;
  readonly trailers?: Fields;
  readonly grpc?: boolean;
  readonly refusal?: Refusal;
  readonly rule?: RouteRule;
  /** One for each try. */
  readonly tries: readonly Behaviour[];
  /** The client gives up after so many of its steps. */
  readonly cancelAfter?: number;
  /** The client credits nothing. */
  readonly neverReads?: boolean;
}

export interface Counts {
  requests: number;
  responses: string[];
  observed: { sent: number; left: number; response: number; ended: number };
  route: { requests: number; responses: string[] };
}

export interface Played {
  readonly client: Talk;
  readonly cancelled: boolean;
  /** What servers got, try by try. */
  readonly servers: readonly { readonly head: Record<string, string>; readonly talk: Talk }[];
  readonly counts: Counts;
}

export interface WorldOptions {
  readonly seed: number;
  readonly plans: readonly Plan[];
  readonly meshed?: boolean;
  /** Servers say GOAWAY now and then. */
  readonly restarts?: boolean;
  readonly maxConcurrentStreams?: number;
  /** Some of the connections to servers break. */
  readonly losses?: boolean;
  /** The proxy ends, after so many steps. */
  readonly drainsAfter?: number;
  /** How long a connection takes to be made. */
  readonly connectMs?: number;
  /** What the client lets servers send of one answer at once; else the seed decides. Of all answers: more than enough for the test's. */
  readonly window?: number;
}

interface Exchange {
  readonly plan: Plan;
  readonly talk: Talk;
  steps: number;
  cancelled: boolean;
  readonly servers: { head: Record<string, string>; talk: Talk }[];
  readonly counts: Counts;
}

const uncounted: TcpSeries = {
  opened: () => undefined,
  closed: () => undefined,
  read: () => undefined,
  wrote: () => undefined,
};

const MAX_STEPS = 60_000;

export class World {
  readonly #options: WorldOptions;
  readonly #random: Random;
  readonly #exchanges: Exchange[] = [];
  readonly #pipes: PipeEnd[] = [];
  readonly #ends: WireEnd[] = [];
  readonly #jobs: (() => boolean)[] = [];
  /** How much goes over at a time. */
  readonly #pieces: readonly number[];
  started = 0;
  ended = 0;
  connections = 0;
  /** The proxy has said farewell to its client. */
  clientClosed = false;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = random(options.seed);
    this.#pieces = [1, 9, 700, 20_000, 1_000_000].slice(this.#random(3));
  }

  #pipe(): [PipeEnd, PipeEnd] {
    const ends = pipe(1 + this.#random(100_000));
    this.#pipes.push(...ends);
    return ends;
  }

  async play(): Promise<Played[]> {
    const pool = new Http2Pool({
      tcp: () => uncounted,
      idleMs: 60_000,
      connect: async (owner) => {
        await (this.#options.connectMs === undefined ? new Promise(setImmediate) : sleep(this.#options.connectMs));
        const [near, far] = this.#pipe();
        near.owner = owner;
        this.#serve(far);
        return near;
      },
    });
    const [near, far] = this.#pipe();
    const session = new ServerSession(near, this.#service(pool));
    const { window } = this.#options;
    const chosen = [200, 5_000, 65_535, 200_000][this.#random(4)] as number;
    const { end, http2 } = wireClient(far, window ?? chosen, window === undefined ? 65_535 + chosen : 8_000_000);
    this.#ends.push(end);
    for (const [index, plan] of this.#options.plans.entries()) this.#begin(index, plan, http2);
    if (this.#options.drainsAfter !== undefined) this.#drainLater(session, this.#options.drainsAfter);
    await this.#run();
    this.clientClosed = near.ended || near.closed;
    const played = this.#exchanges.map(({ talk, cancelled, servers, counts }) => ({
      client: talk,
      cancelled,
      servers,
      counts,
    }));
    pool.close();
    session.close();
    for (const each of this.#pipes) each.close();
    await new Promise(setImmediate);
    return played;
  }

  #drainLater(session: ServerSession, steps: number): void {
    this.#jobs.push(() => {
      if (steps < 0 || --steps >= 0) return steps >= 0;
      session.drain();
      return true;
    });
  }

  /** Steps everybody in any order, until nothing moves any more. */
  async #run(): Promise<void> {
    let quiet = 0;
    for (let step = 0; quiet < (this.#options.connectMs === undefined ? 6 : 60); step++) {
      assert.ok(step < MAX_STEPS, "it does not come to an end");
      let did = false;
      for (let turns = this.#random(60); turns >= 0; turns--) did = this.#stepOne() || did;
      await new Promise(setImmediate);
      if (this.#quiet() && !did) {
        quiet++;
        await sleep(1);
      } else quiet = 0;
    }
  }

  #quiet(): boolean {
    let moved = false;
    for (const { talk } of this.#exchanges) moved = talk.step() || moved;
    for (const job of this.#jobs) moved = job() || moved;
    for (const end of this.#ends) moved = end.flush() || moved;
    return !moved && this.#pipes.every(({ idle }) => idle);
  }

  #stepOne(): boolean {
    const what = this.#random(3);
    if (what === 0) {
      const live = this.#pipes.filter(({ idle }) => !idle);
      live[this.#random(live.length || 1)]?.pump(this.#pieces[this.#random(this.#pieces.length)] as number);
      return live.length > 0;
    }
    if (what === 1) return this.#ends[this.#random(this.#ends.length)]?.flush() ?? false;
    const exchange = this.#exchanges[this.#random(this.#exchanges.length)];
    if (exchange === undefined) return false;
    const { plan, talk } = exchange;
    if (
      plan.cancelAfter !== undefined &&
      talk.stream !== undefined &&
      !talk.over &&
      ++exchange.steps > plan.cancelAfter &&
      !exchange.cancelled
    ) {
      exchange.cancelled = true;
      talk.over = true;
      talk.stream?.reset(8);
      return true;
    }
    return talk.step();
  }

  #begin(index: number, plan: Plan, http2: ReturnType<typeof wireClient>["http2"]): void {
    const talk = new Talk(this.#random, { key: index, bytes: plan.bytes, trailers: plan.trailers }, 1_000 + index);
    talk.reads = plan.neverReads !== true;
    const headOnly = plan.bytes === 0 && plan.trailers === undefined;
    if (headOnly) talk.saidAll();
    const counts: Counts = {
      requests: 0,
      responses: [],
      observed: { sent: 0, left: 0, response: 0, ended: 0 },
      route: { requests: 0, responses: [] },
    };
    this.#exchanges.push({ plan, talk, steps: 0, cancelled: false, servers: [], counts });
    const fields: Fields = {
      ":method": plan.method,
      ":scheme": "http",
      ":authority": "web",
      ":path": `/${index}`,
      ...(plan.grpc === true ? { "content-type": "application/grpc", te: "trailers" } : {}),
      "l5d-client-id": "liar",
      "x-id": String(index),
    };
    const open = (): boolean => {
      if (talk.stream !== undefined || talk.over) return false;
      talk.stream = http2.request(fieldsOf(fields), headOnly, talk);
      return talk.stream !== undefined;
    };
    this.#jobs.push(open);
  }

  #serve(stream: PipeEnd): void {
    this.connections++;
    const { end, http2 } = wireServer(stream, {
      maxConcurrentStreams: this.#options.maxConcurrentStreams ?? 100,
      onRequest: (http2Stream, head, ended) => this.#onRequest(http2Stream, head, ended),
    });
    this.#ends.push(end);
    // The last connection stays, or there would be no end.
    let breaksAfter = this.#options.losses === true && this.connections < 4 ? this.#random(300) : -1;
    this.#jobs.push(() => {
      if (breaksAfter < 0 || --breaksAfter > 0) return false;
      breaksAfter = -1;
      stream.close();
      return true;
    });
    let goesAfter = this.#options.restarts === true && this.connections < 4 ? 10 + this.#random(200) : -1;
    this.#jobs.push(() => {
      if (goesAfter < 0 || --goesAfter > 0) return false;
      goesAfter = -1;
      http2.goAway("restart");
      return true;
    });
  }

  #onRequest(stream: Http2Stream, head: Record<string, string>, ended: boolean): Talk {
    const index = Number(head["x-id"]);
    const { plan, servers } = this.#exchanges[index] as Exchange;
    const behaviour = plan.tries[servers.length];
    assert.ok(behaviour !== undefined, `try ${servers.length} of request ${index}`);
    const answers = behaviour.kind === "answer";
    const body = answers ? behaviour.bytes : behaviour.kind === "silence" ? 0 : Math.max(0, behaviour.after);
    const trailers = behaviour.kind === "answer" ? behaviour.trailers : undefined;
    const talk = new Talk(this.#random, { key: 1_000 + index, bytes: body, trailers, open: !answers }, index);
    talk.whole = ended;
    servers.push({ head, talk });
    const headOnly = behaviour.kind === "answer" && body === 0 && trailers === undefined;
    let begun = false;
    let stopped = false;
    // The head goes out by a step of the server, and what follows by those of its talk.
    this.#jobs.push(() => {
      if (talk.over || stopped) return false;
      if (!begun) {
        const waits = behaviour.kind === "answer" ? behaviour.early !== true : false;
        if (behaviour.kind === "silence" || (waits && !talk.whole) || this.#random(4) === 0) {
          talk.stream = stream;
          return talk.read();
        }
        talk.stream = stream;
        begun = true;
        if (behaviour.kind === "reset" && behaviour.after < 0) {
          stopped = true;
          talk.over = true;
          stream.reset(behaviour.code);
          return true;
        }
        if (behaviour.kind === "answer" && behaviour.interim === true) {
          stream.sendHeaders(fieldsOf({ ":status": "103", link: "a" }), false);
        }
        const status = behaviour.kind === "answer" ? behaviour.status : "200";
        const fields = behaviour.kind === "answer" ? behaviour.fields : {};
        stream.sendHeaders(fieldsOf({ ":status": status, "x-of": String(index), ...fields }), headOnly);
        if (headOnly) talk.saidAll();
        return true;
      }
      if (behaviour.kind === "reset" && talk.sentBytes === body) {
        stopped = true;
        talk.over = true;
        stream.reset(behaviour.code);
        return true;
      }
      if (behaviour.kind === "answer" && behaviour.stops === true && talk.said && !talk.whole) {
        stopped = true;
        talk.over = true;
        stream.reset(0);
        return true;
      }
      return talk.step();
    });
    return talk;
  }

  #service(pool: Http2Pool): HttpService {
    const exchangeOf = (path: string): Exchange => this.#exchanges[Number(path.slice(1))] as Exchange;
    const destinations = new Map<Exchange, Destination>();
    const destinationOf = (exchange: Exchange): Destination => {
      const known = destinations.get(exchange);
      if (known !== undefined) return known;
      const { counts } = exchange;
      const made: Destination = {
        http1: () => assert.fail("HTTP/1 was asked for"),
        http2: () => pool,
        meshed: this.#options.meshed ?? false,
        observed: { address: { ip: "10.0.0.9", port: 80 }, labels: [] },
        series: {
          request: () => counts.requests++,
          response: (status, _ms, failure) => counts.responses.push(`${status}${failure ? "!" : ""}`),
        },
        started: () => this.started++,
        answered: () => undefined,
        ended: () => this.ended++,
      };
      destinations.set(exchange, made);
      return made;
    };
    const chosen = (exchange: Exchange): Choice | Promise<Choice> => {
      const destination = destinationOf(exchange);
      return this.#random(2) === 0 ? destination : new Promise((resolve) => setImmediate(() => resolve(destination)));
    };
    const byRouting = new WeakMap<object, Exchange>();
    return {
      audience: { meshed: false, informed: true },
      requestLines: Buffer.from("l5d-client-id: somebody\r\n"),
      tcp: uncounted,
      observed: true,
      choose: (request, routing) => {
        const exchange = exchangeOf(request.path);
        byRouting.set(routing, exchange);
        const { rule } = exchange.plan;
        const { route } = exchange.counts;
        routing.rule = rule && {
          ...rule,
          series: {
            request: () => route.requests++,
            requestFrame: () => undefined,
            responseFrame: () => undefined,
            response: (status, _head, _end, grpcStatus, error) =>
              route.responses.push(`${status} ${grpcStatus ?? ""} ${error}`),
            retried: () => undefined,
          },
        };
        return exchange.plan.refusal ?? chosen(exchange);
      },
      again: (_failed, routing) => chosen(byRouting.get(routing) as Exchange),
      retry: (routing) => chosen(byRouting.get(routing) as Exchange),
      refused: () => undefined,
      observe: (request) => {
        const { observed } = exchangeOf(request.path).counts;
        return {
          edits: undefined,
          sent: () => {
            assert.equal(observed.sent, observed.left, "a try within a try");
            observed.sent++;
          },
          left: () => observed.left++,
          response: () => observed.response++,
          ended: () => observed.ended++,
        };
      },
      closed: () => undefined,
    };
  }
}
