/** HTTP/1 clients: kept connections that end after some requests, bodies both ways, requests given up half way. */
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { SERVICE_IP } from "../support/namespace.ts";
import { Tally } from "./counts.ts";
import { Expected, LARGE, SMALL } from "./payload.ts";
import { ORIGIN_PORT } from "./ports.ts";

/** Of a connection: long enough to be kept, short enough that ten open a second. */
const REQUESTS_A_CONNECTION = 90;
/** Open at once to a port; where all are busy, the next request waits. */
const MOST_SEATS = 32;
/** For a machine that others use: what is lost takes as long as what is late. */
const TIMEOUT_MS = 60_000;

type Port = typeof ORIGIN_PORT.nginx1 | typeof ORIGIN_PORT.echo1;

interface Seat {
  readonly agent: Agent;
  left: number;
}

/** One a port: a connection that an application keeps goes to one Service. */
class Seats {
  readonly idle: Seat[] = [];
  readonly waiting: ((seat: Seat) => void)[] = [];
  count = 0;
}

export class Http1Load {
  readonly tally = new Tally("HTTP/1");
  connections = 0;
  open = 0;
  #turn = 0;
  readonly #seats = { [ORIGIN_PORT.nginx1]: new Seats(), [ORIGIN_PORT.echo1]: new Seats() } as const;

  /** Sends the next of the mix: of 50, a large download, two uploads that come back, one of them large, one given up, small ones else. */
  send(): void {
    const turn = this.#turn++ % 50;
    if (turn === 7) this.#exchange(ORIGIN_PORT.nginx1, "GET", "/large", LARGE);
    else if (turn === 15) this.#exchange(ORIGIN_PORT.echo1, "POST", "/", LARGE, (this.#turn / 50) % 2 < 1);
    else if (turn === 40) this.#exchange(ORIGIN_PORT.echo1, "POST", "/", SMALL);
    else if (turn === 25) this.#giveUp((this.#turn / 50) % 2 < 1);
    else this.#exchange(ORIGIN_PORT.nginx1, "GET", "/small", SMALL);
  }

  /** Ends the connections that nobody uses. */
  close(): void {
    for (const { idle } of Object.values(this.#seats)) for (const { agent } of idle) agent.destroy();
  }

  #exchange(port: Port, method: "GET" | "POST", path: string, body: Buffer, chunked = false): void {
    this.open++;
    const begin = (seat: Seat): void => this.#begin(seat, port, method, path, body, chunked);
    const seats = this.#seats[port];
    const seat = seats.idle.shift() ?? (seats.count < MOST_SEATS ? this.#sit(seats) : undefined);
    if (seat === undefined) seats.waiting.push(begin);
    else begin(seat);
  }

  #begin(seat: Seat, port: Port, method: "GET" | "POST", path: string, body: Buffer, chunked: boolean): void {
    const seats = this.#seats[port];
    seat.left--;
    const headers = method === "GET" || chunked ? {} : { "content-length": body.length };
    const outgoing = request({ agent: seat.agent, host: SERVICE_IP, port, method, path, headers, timeout: TIMEOUT_MS });
    this.#watch(outgoing, `${method} ${path}`, body, (well) => {
      let next: Seat | undefined = seat;
      if (!well || seat.left === 0) {
        seat.agent.destroy();
        seats.count--;
        next = seats.waiting.length > 0 ? this.#sit(seats) : undefined;
      }
      if (next === undefined) return;
      const waiting = seats.waiting.shift();
      if (waiting === undefined) seats.idle.push(next);
      // Its agent takes the connection back once this turn is over.
      else setImmediate(waiting, next);
    });
    if (method === "POST") {
      // Two writes: the second one finds the first under way.
      outgoing.write(body.subarray(0, body.length / 2));
      outgoing.end(body.subarray(body.length / 2));
    } else outgoing.end();
  }

  #watch(outgoing: ClientRequest, what: string, body: Buffer, then: (well: boolean) => void): void {
    let over = false;
    const finish = (problem?: string): void => {
      if (over) return;
      over = true;
      this.open--;
      if (problem === undefined) this.tally.done++;
      else this.tally.fail(`${what}: ${problem}`);
      then(problem === undefined);
    };
    outgoing.once("timeout", () => outgoing.destroy(new Error(`nothing within ${TIMEOUT_MS} ms`)));
    outgoing.on("error", (error) => finish(error.message));
    outgoing.once("response", (answer: IncomingMessage) => {
      const expected = new Expected(body);
      answer.on("data", (chunk: Buffer) => expected.take(chunk));
      answer.on("error", (error) => finish(`${error.message} after ${expected}`));
      answer.once("end", () => {
        if (answer.statusCode === 200 && expected.whole) finish();
        else finish(`${answer.statusCode} ${answer.headers["l5d-proxy-error"] ?? ""}, ${expected}`);
      });
    });
  }

  /** A download of which a part has come, or an upload of which a part has gone. */
  #giveUp(download: boolean): void {
    this.open++;
    this.connections++;
    const port = download ? ORIGIN_PORT.nginx1 : ORIGIN_PORT.echo1;
    const method = download ? "GET" : "POST";
    const headers = download ? {} : { "content-length": 10 * LARGE.length };
    const path = download ? "/slow" : "/";
    const outgoing = request({ agent: false, host: SERVICE_IP, port, method, path, headers });
    let status = 0;
    const timer = setTimeout(() => outgoing.destroy(), 50 + Math.random() * 450);
    outgoing.on("error", () => undefined);
    outgoing.on("response", (answer) => {
      status = answer.statusCode ?? 0;
      answer.on("error", () => undefined);
      answer.resume();
    });
    outgoing.once("close", () => {
      clearTimeout(timer);
      this.open--;
      if (status === 0 || status === 200) this.tally.cancelled++;
      else this.tally.fail(`${method} ${path}, to be given up: ${status}`);
    });
    if (download) outgoing.end();
    else outgoing.write(LARGE);
  }

  #sit(seats: Seats): Seat {
    this.connections++;
    seats.count++;
    return { agent: new Agent({ keepAlive: true, maxSockets: 1 }), left: REQUESTS_A_CONNECTION };
  }
}
