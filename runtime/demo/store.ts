/**
 * The agents' memory: a plain TCP server with a line protocol of its own, so that the mesh has something that is no HTTP.
 *
 *   remember <key> <value>\n → ok\n
 *   recall <key>\n           → value <value>\n | nothing\n
 */

import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";
import type { RunningService } from "./service.ts";

const MAX_LINE = 8 * 1024;
const MAX_ENTRIES = 10_000;

/** Serves the store on `port` (0: any). */
export async function serveStore(port: number): Promise<RunningService> {
  const memory = new Map<string, string>();
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: false }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", (error) => console.error(`store: ${error.message}`));
    eachLine(socket, (line) => {
      const [verb, key = "", ...rest] = line.split(" ");
      if (verb === "remember") {
        memory.set(key, rest.join(" "));
        const oldest = memory.keys().next();
        if (memory.size > MAX_ENTRIES && !oldest.done) memory.delete(oldest.value);
        socket.write("ok\n");
      } else if (verb === "recall") {
        const value = memory.get(key);
        socket.write(value === undefined ? "nothing\n" : `value ${value}\n`);
      } else {
        socket.write("what?\n");
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => resolve());
  });
  const address = server.address() as AddressInfo;
  console.log(`store: listening on ${address.port}`);
  return {
    port: address.port,
    drain: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.end();
      }),
  };
}

interface Waiting {
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}

/** A client that keeps one connection and makes it anew when it was lost. One line out, one line back, in order. */
export class StoreClient {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;
  #waiting: Waiting[] = [];

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  async remember(key: string, value: string): Promise<void> {
    await this.#ask(`remember ${key} ${value.replaceAll("\n", " ")}\n`);
  }

  async recall(key: string): Promise<string | undefined> {
    const line = await this.#ask(`recall ${key}\n`);
    return line.startsWith("value ") ? line.slice("value ".length) : undefined;
  }

  close(): void {
    this.#socket?.end();
  }

  /** Both verbs may be repeated, so a line lost with its connection is asked once more on a new one. */
  async #ask(line: string): Promise<string> {
    try {
      return await this.#send(line);
    } catch {
      return await this.#send(line);
    }
  }

  #send(line: string): Promise<string> {
    const socket = this.#connected();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      socket.write(line);
    });
  }

  #connected(): Socket {
    if (this.#socket !== undefined && !this.#socket.destroyed && this.#socket.writable) return this.#socket;
    const socket = connect(this.#port, this.#host);
    const waiting: Waiting[] = [];
    this.#socket = socket;
    this.#waiting = waiting;
    eachLine(socket, (line) => waiting.shift()?.resolve(line));
    const fail = (error: Error): void => {
      for (const { reject } of waiting.splice(0)) reject(error);
    };
    socket.on("error", fail);
    socket.on("close", () => fail(new Error(`the store at ${this.#host}:${this.#port} closed the connection`)));
    return socket;
  }
}

function eachLine(socket: Socket, listener: (line: string) => void): void {
  let pending = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    pending += chunk;
    for (let end = pending.indexOf("\n"); end !== -1; end = pending.indexOf("\n")) {
      const line = pending.slice(0, end);
      pending = pending.slice(end + 1);
      listener(line);
    }
    if (pending.length > MAX_LINE) socket.destroy(new Error(`a line has at most ${MAX_LINE} characters`));
  });
}
