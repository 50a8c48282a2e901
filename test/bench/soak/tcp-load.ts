/** TCP connections that come and go: some messages there and back, pauses, an end from either side's half, and some resets. */
import { connect, type Socket } from "node:net";
import { SERVICE_IP } from "../support/namespace.ts";
import { Tally } from "./counts.ts";
import { Expected, LARGE } from "./payload.ts";
import { ORIGIN_PORT } from "./ports.ts";

/** For a machine that others use: what is lost takes as long as what is late. */
const TIMEOUT_MS = 60_000;
const PAUSE_MS = 12_000;

export class TcpLoad {
  readonly tally = new Tally("TCP");
  connections = 0;
  open = 0;
  #turn = 0;

  /** Of six connections one is reset half way, one pauses between two messages. */
  send(): void {
    const turn = this.#turn++ % 6;
    const socket = connect({ host: SERVICE_IP, port: ORIGIN_PORT.tcp, allowHalfOpen: true, noDelay: true });
    this.connections++;
    this.open++;
    let over = false;
    const finish = (problem?: string): void => {
      if (over) return;
      over = true;
      this.open--;
      if (problem !== undefined) {
        socket.destroy();
        this.tally.fail(problem);
      } else if (turn === 4) this.tally.cancelled++;
      else this.tally.done++;
    };
    socket.setTimeout(TIMEOUT_MS, () => finish(`nothing within ${TIMEOUT_MS} ms`));
    socket.on("error", (error) => finish(error.message));
    socket.once("connect", () => {
      if (turn === 4) reset(socket, finish);
      else converse(socket, 1 + (turn % 3), turn === 2 ? PAUSE_MS : 0, finish);
    });
  }
}

function reset(socket: Socket, finish: (problem?: string) => void): void {
  socket.on("data", () => {
    socket.resetAndDestroy();
    finish();
  });
  socket.write(LARGE);
}

function converse(socket: Socket, messages: number, pauseMs: number, finish: (problem?: string) => void): void {
  const sizes = Array.from({ length: messages }, () => 1 + Math.floor(Math.random() ** 3 * LARGE.length));
  let expected: Expected | undefined;
  const next = (): void => {
    const size = sizes.shift();
    if (size === undefined) {
      expected = undefined;
      socket.end();
      return;
    }
    const message = LARGE.subarray(0, size);
    expected = new Expected(message);
    socket.write(message);
  };
  socket.on("data", (chunk: Buffer) => {
    if (expected === undefined) return finish(`${chunk.length} bytes more than were sent`);
    expected.take(chunk);
    if (!expected.whole) return;
    if (pauseMs > 0) setTimeout(next, pauseMs);
    else next();
  });
  socket.once("end", () => {
    if (expected === undefined) finish();
    else finish(`ended early: ${expected}`);
  });
  socket.once("close", () => finish("closed without an end"));
  next();
}
