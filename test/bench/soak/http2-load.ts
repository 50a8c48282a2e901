/** HTTP/2 clients by prior knowledge: sessions that end after some requests, bodies both ways, trailers, streams reset half way. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { SERVICE_IP } from "../support/namespace.ts";
import { Tally } from "./counts.ts";
import { Expected, LARGE, SMALL } from "./payload.ts";
import { ORIGIN_PORT } from "./ports.ts";

const SESSIONS = { nginx: 8, echo: 4 } as const;
const REQUESTS_A_SESSION = 225;
/** For a machine that others use: what is lost takes as long as what is late. */
const TIMEOUT_MS = 60_000;

interface Seat {
  readonly session: ClientHttp2Session;
  left: number;
  open: number;
}

export class Http2Load {
  readonly tally = new Tally("HTTP/2");
  connections = 0;
  open = 0;
  #turn = 0;
  readonly #nginx: (Seat | undefined)[] = Array.from({ length: SESSIONS.nginx });
  readonly #echo: (Seat | undefined)[] = Array.from({ length: SESSIONS.echo });

  /** Sends the next of the mix: of 50, a large download, four echoes with trailers, one of them large, one given up, small ones else. */
  send(): void {
    const turn = this.#turn++ % 50;
    if (turn === 7) this.#exchange(false, "/large", LARGE);
    else if (turn === 15) this.#exchange(true, "/", LARGE);
    else if (turn === 3 || turn === 19 || turn === 40) this.#exchange(true, "/", SMALL);
    else if (turn === 25) this.#giveUp((this.#turn / 50) % 2 < 1);
    else this.#exchange(false, "/small", SMALL);
  }

  close(): void {
    for (const seat of [...this.#nginx, ...this.#echo]) seat?.session.close();
  }

  #exchange(echo: boolean, path: string, body: Buffer): void {
    const what = `${echo ? "POST" : "GET"} ${path}`;
    const stream = this.#stream(echo, path);
    if (echo) {
      stream.write(body.subarray(0, body.length / 2));
      stream.end(body.subarray(body.length / 2));
    } else stream.end();
    this.open++;
    const expected = new Expected(body);
    let status: unknown;
    let refusal: unknown = "";
    let trailers = !echo;
    let problem: string | undefined;
    stream.setTimeout(TIMEOUT_MS, () => {
      problem ??= `nothing within ${TIMEOUT_MS} ms`;
      stream.close(constants.NGHTTP2_CANCEL);
    });
    stream.once("response", (headers) => {
      status = headers[":status"];
      refusal = headers["l5d-proxy-error"] ?? "";
    });
    stream.once("trailers", (fields) => {
      trailers = fields["grpc-status"] === "0";
    });
    stream.on("data", (chunk: Buffer) => expected.take(chunk));
    stream.on("error", (error) => {
      problem ??= error.message;
    });
    stream.once("close", () => {
      this.open--;
      if (problem === undefined && status === 200 && trailers && expected.whole) this.tally.done++;
      else {
        const end = `${status ?? "no status"} ${refusal}, ${expected}${trailers ? "" : ", no trailers"}`;
        this.tally.fail(`${what}: ${problem ?? `ended with code ${stream.rstCode}`}, ${end}`);
      }
    });
  }

  #giveUp(download: boolean): void {
    const stream = this.#stream(!download, download ? "/slow" : "/");
    this.open++;
    let status: unknown;
    let timer: NodeJS.Timeout | undefined;
    stream.on("error", () => undefined);
    stream.once("response", (headers) => {
      status = headers[":status"];
    });
    stream.resume();
    timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 50 + Math.random() * 450);
    stream.once("close", () => {
      clearTimeout(timer);
      this.open--;
      if (status === undefined || status === 200) this.tally.cancelled++;
      else this.tally.fail(`a stream to be given up: ${status}`);
    });
    if (download) stream.end();
    else stream.write(LARGE);
  }

  #stream(echo: boolean, path: string): ClientHttp2Stream {
    const seats = echo ? this.#echo : this.#nginx;
    const at = this.#turn % seats.length;
    const kept = seats[at];
    const seat = kept === undefined || kept.session.closed || kept.session.destroyed ? this.#sit(echo) : kept;
    seat.left--;
    seat.open++;
    seats[at] = seat.left > 0 ? seat : undefined;
    const stream = seat.session.request(
      { ":method": echo ? "POST" : "GET", ":path": path, ...(echo ? { te: "trailers" } : {}) },
      { endStream: false },
    );
    stream.once("close", () => {
      seat.open--;
      // Not before: Node's GOAWAY overtakes the heads of requests that wait, and some servers refuse them then.
      if (seat.left === 0 && seat.open === 0) seat.session.close();
    });
    return stream;
  }

  #sit(echo: boolean): Seat {
    this.connections++;
    const session = connect(`http://${SERVICE_IP}:${echo ? ORIGIN_PORT.echo2 : ORIGIN_PORT.nginx2}`);
    // Its streams tell the failure.
    session.on("error", () => undefined);
    return { session, left: REQUESTS_A_SESSION, open: 0 };
  }
}
