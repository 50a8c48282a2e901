/** :9990: /live, /ready and /metrics, without TLS, for the kubelet and for Prometheus. */
import { createServer, type Server } from "node:http";
import type { Metrics } from "./metrics.ts";

export interface AdminOptions {
  readonly port: number;
  readonly host?: string;
  /** Why the process is not ready; undefined: it is. */
  readonly notReady: () => string | undefined;
  readonly metrics: Metrics;
}

export class AdminServer {
  readonly #server: Server;
  readonly #options: AdminOptions;

  constructor(options: AdminOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      const path = (request.url ?? "/").replace(/\?.*$/, "");
      if (path === "/live") return void response.end("live\n");
      if (path === "/ready") {
        const reason = options.notReady();
        response.statusCode = reason === undefined ? 200 : 503;
        return void response.end(`${reason ?? "ready"}\n`);
      }
      if (path === "/metrics") {
        response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
        return void response.end(options.metrics.text());
      }
      response.statusCode = 404;
      response.end("there are /live, /ready and /metrics\n");
    });
  }

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

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
