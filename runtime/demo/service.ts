/** What every agent of the demo is: an HTTP server that answers probes and leaves without dropping a request. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Answers one request; a rejection becomes a 502 that names what failed. */
export type Handler = (request: {
  method: string;
  path: string;
  query: URLSearchParams;
  body: string;
}) => Promise<Answer>;

const MAX_BODY_BYTES = 64 * 1024;

export interface RunningService {
  readonly port: number;
  /** Answers what has arrived, then closes. Resolves when the last connection is gone. */
  drain(): Promise<void>;
}

/** Serves `handler` and `GET /healthz` on `port` (0: any). */
export async function serve(name: string, port: number, handler: Handler): Promise<RunningService> {
  let draining = false;
  const server = createServer((request, response) => {
    if (draining) response.setHeader("connection", "close");
    answer(name, handler, request, response).catch((error: unknown) => {
      console.error(`${name}: ${String(error)}`);
      response.destroy();
    });
  });
  // Longer than a proxy keeps idle connections, so that the side that reuses them is the side that closes them.
  server.keepAliveTimeout = 65_000;
  await listen(server, port);
  const address = server.address() as AddressInfo;
  console.log(`${name}: listening on ${address.port}`);
  return {
    port: address.port,
    drain: () => {
      draining = true;
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      });
    },
  };
}

async function answer(
  name: string,
  handler: Handler,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://agent");
  if (url.pathname === "/healthz") {
    reply(response, { status: 200, body: { agent: name, ok: true } });
    return;
  }
  let body = "";
  request.setEncoding("utf8");
  for await (const chunk of request) {
    body += String(chunk);
    if (body.length > MAX_BODY_BYTES) {
      reply(response, { status: 413, body: { error: `a question has at most ${MAX_BODY_BYTES} bytes` } });
      return;
    }
  }
  try {
    reply(
      response,
      await handler({ method: request.method ?? "GET", path: url.pathname, query: url.searchParams, body }),
    );
  } catch (error) {
    reply(response, {
      status: 502,
      body: { agent: name, error: error instanceof Error ? error.message : String(error) },
    });
  }
}

function reply(response: ServerResponse, { status, body }: Answer): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => resolve());
  });
}
