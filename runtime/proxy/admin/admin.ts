/** The admin port (reference 7.5): what the kubelet, Prometheus and people at the pod ask. Not the hot path: node:http. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isLoopback } from "../config/environment.ts";
import type { Log } from "../log.ts";
import type { MetricsRegistry } from "../metrics/registry.ts";
import type { Address } from "../transport/stream.ts";
import { writeMetrics } from "./metrics-response.ts";

export interface AdminOptions {
  readonly listen: Address;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  readonly isReady: () => boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Starts the graceful end. Absent: the endpoint is not enabled. */
  readonly shutdown?: () => void;
}

export interface AdminServer {
  readonly address: Address;
  close(): void;
}

const MAX_BODY_BYTES = 16 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;

/** @throws Error naming the address where it cannot listen */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const logger = options.log.logger("linkerd_admin");
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      logger.debug(`${request.method} ${request.url}: ${String(error)}`);
      response.destroy();
    });
  });
  const address = await listening(server, options.listen);
  return {
    address,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
  /** Methods that are. */
  readonly allow?: string;
  /** Runs once the reply is out. */
  readonly afterwards?: () => void;
}

async function answer(options: AdminOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://proxy");
  if (url.pathname === "/metrics") {
    await writeMetrics(options.metrics, url.searchParams, request, response);
    return;
  }
  const { status, body, type, allow, afterwards } = await replyTo(options, url, request);
  const length = Buffer.byteLength(body);
  if (allow !== undefined) response.setHeader("allow", allow);
  response.writeHead(status, status === 204 ? {} : { "content-type": type ?? "text/plain", "content-length": length });
  response.end(body, afterwards);
}

function replyTo(options: AdminOptions, url: URL, request: IncomingMessage): Reply | Promise<Reply> {
  switch (url.pathname) {
    case "/live":
      return { status: 200, body: "live\n" };
    case "/ready":
      return options.isReady() ? { status: 200, body: "ready\n" } : { status: 503, body: "not ready\n" };
    case "/env.json":
      return replyEnvironment(options, url, request);
    case "/proxy-log-level":
      return replyLogLevel(options, request);
    case "/shutdown":
      return replyShutdown(options, request);
    default:
      return { status: 404, body: "not found\n" };
  }
}

const METHOD_NOT_ALLOWED: Reply = { status: 405, body: "method not allowed\n" };
const LOG_FILTER_METHODS: Reply = { ...METHOD_NOT_ALLOWED, allow: "GET, PUT" };
const ONLY_FROM_THIS_POD: Reply = { status: 403, body: "only from this pod\n" };

/** Tokens are in files: no variable of a proxy holds a secret. */
function replyEnvironment({ environment }: AdminOptions, url: URL, request: IncomingMessage): Reply {
  if (request.method !== "GET") return METHOD_NOT_ALLOWED;
  if (!/application\/json|application\/\*|\*\/\*/.test(request.headers.accept ?? "*/*")) {
    return { status: 406, body: "only application/json\n" };
  }
  const names = url.search.slice(1).split("&").filter(Boolean);
  if (names.some((name) => name.includes("="))) return { status: 400, body: "names without values: ?A&B\n" };
  const shown = Object.entries(environment).filter(([name]) => names.length === 0 || names.includes(name));
  return { status: 200, body: `${JSON.stringify(Object.fromEntries(shown))}\n`, type: "application/json" };
}

async function replyLogLevel({ log }: AdminOptions, request: IncomingMessage): Promise<Reply> {
  if (!fromThisPod(request)) return ONLY_FROM_THIS_POD;
  if (request.method === "GET") return { status: 200, body: `${log.filter}\n` };
  if (request.method !== "PUT") return LOG_FILTER_METHODS;
  const body = await readBody(request);
  if (body === undefined) return { status: 413, body: `a filter has at most ${MAX_BODY_BYTES} bytes\n` };
  const logger = log.logger("linkerd_admin");
  if (!log.setFilter(body.trim())) {
    logger.warn(`"${body.trim()}" is not a log filter`);
    return { status: 400, body: "not a log filter: comma-separated level or target=level\n" };
  }
  logger.info(`the log filter is now "${log.filter}"`);
  return { status: 204, body: "" };
}

function replyShutdown({ shutdown }: AdminOptions, request: IncomingMessage): Reply {
  if (request.method !== "POST") return METHOD_NOT_ALLOWED;
  if (shutdown === undefined) return { status: 404, body: "shutdown endpoint is not enabled\n" };
  if (!fromThisPod(request)) return ONLY_FROM_THIS_POD;
  return { status: 200, body: "shutdown\n", afterwards: shutdown };
}

function fromThisPod(request: IncomingMessage): boolean {
  return isLoopback((request.socket.remoteAddress ?? "").replace(/^::ffff:/, ""));
}

/** undefined: too long. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  let body = "";
  request.setEncoding("utf8");
  for await (const chunk of request) {
    body += String(chunk);
    if (body.length > MAX_BODY_BYTES) return undefined;
  }
  return body;
}

function listening(server: Server, { ip, port }: Address): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(new Error(`cannot listen on ${ip}:${port} for admin`, { cause })));
    server.listen({ host: ip, port }, () => resolve({ ip, port: (server.address() as AddressInfo).port }));
  });
}
