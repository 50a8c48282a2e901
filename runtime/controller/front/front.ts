/** Port 10250: one port that managed control planes can reach, two processes behind it, told apart by SNI (DESIGN decision 2). */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Log } from "../config/log.ts";
import { readServerName } from "./server-name.ts";

export interface FrontOptions {
  readonly port: number;
  readonly host?: string;
  /**
   * Host names (SNI) that viz serves, along with connections without a name: the API server calls a webhook by its name
   * always, but looks at an APIService's availability by address alone. Any other name is the webhook's.
   */
  readonly vizNames: readonly string[];
  /** Where viz listens. */
  readonly viz: { readonly host: string; readonly port: number };
  /** Takes a connection whose ClientHello is still to be read. */
  readonly webhook: (socket: Socket) => void;
  readonly log: Log;
}

const HELLO_TIMEOUT_MS = 10_000;

export class Front {
  readonly #options: FrontOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#accept(socket),
    );
  }

  /** @returns the port in use */
  listen(): Promise<number> {
    const { port, host = "0.0.0.0" } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  /** Takes no more connections; ends what is open after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const { log } = this.#options;
    let bytes: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), HELLO_TIMEOUT_MS);
    const stop = (): void => {
      clearTimeout(timer);
      socket.off("data", read);
      socket.off("end", refuse);
      socket.off("close", stop);
    };
    const refuse = (): void => {
      stop();
      socket.destroy();
    };
    const read = (chunk: Buffer): void => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const found = readServerName(bytes);
      if (found.kind === "more") return;
      if (found.kind === "invalid") {
        log.debug("connection refused: no TLS", { peer: socket.remoteAddress });
        refuse();
        return;
      }
      stop();
      socket.pause();
      socket.unshift(bytes);
      this.#route(socket, found.name);
    };
    socket.on("error", (error) => log.debug("connection broke", { reason: error.message }));
    socket.on("data", read);
    socket.once("end", refuse);
    socket.once("close", stop);
  }

  #route(socket: Socket, name: string | undefined): void {
    if (name !== undefined && !this.#options.vizNames.includes(name)) {
      this.#options.webhook(socket);
      return;
    }
    const { viz, log } = this.#options;
    const upstream = connect({ host: viz.host, port: viz.port, allowHalfOpen: true, noDelay: true });
    upstream.on("error", (error) => {
      log.warn("viz cannot be reached", { reason: error.message });
      socket.destroy();
    });
    upstream.once("close", (hadError) => {
      if (hadError || !socket.writableFinished) socket.destroy();
    });
    socket.once("close", () => {
      if (!upstream.writableFinished) upstream.destroy();
    });
    // pipe passes on the end of each side alone, and stops reading where the other side does not.
    socket.pipe(upstream);
    upstream.pipe(socket);
  }
}
