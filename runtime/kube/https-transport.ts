/** HTTP to an API server over node's own client: keep-alive, streamed bodies, one more try when credentials expired. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { KubeConnectionError } from "./errors.ts";
import { explainConnectionFailure } from "./explain-connection-failure.ts";
import type { KubeRequest, KubeStream, KubeTransport } from "./types.ts";

const HEAD_TIMEOUT_MS = 30_000;
/** Finds a peer that vanished without a word below a quiet watch. */
const TCP_KEEP_ALIVE_MS = 30_000;

/** What a TLS connection is made with. PEM. */
export interface TlsMaterial {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** Name to ask for and to verify instead of the server's host (kubeconfig `tls-server-name`). */
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface Credentials {
  /** Lower-case names; a list is sent as one line each. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** The same object as long as nothing in it changed: connections are kept by it. */
  readonly tls: TlsMaterial;
}

export interface HttpsTransportOptions {
  /** `https://host:port[/prefix]` (or http, for a local `kubectl proxy`). */
  readonly server: string;
  /** Asked before each request; caching is its own business. Rejects with KubeConnectionError. */
  readonly credentials: (signal?: AbortSignal) => Promise<Credentials>;
  /** Told of a 401 and what it was asked with; true where other credentials can be had: the request is sent once more. */
  readonly rejected?: (used: Credentials) => boolean;
  /** Makes connections, e.g. by way of a proxy; where it makes none, direct ones are made. */
  readonly createAgent?: (tls: TlsMaterial) => HttpAgent | undefined;
}

/** An aborted request rejects with the signal's reason. Nothing is contacted before the first `open`. */
export function httpsTransport(options: HttpsTransportOptions): KubeTransport {
  const base = new URL(options.server);
  const secure = base.protocol === "https:";
  const prefix = base.pathname.replace(/\/$/, "");
  let agent: { readonly tls: TlsMaterial; readonly agent: HttpAgent } | undefined;
  let closed = false;

  function agentFor(tls: TlsMaterial): HttpAgent {
    if (agent?.tls === tls) return agent.agent;
    // Sockets in use (a watch) live on with the old certificate until they end; idle ones go.
    agent?.agent.destroy();
    const keepAlive = { keepAlive: true, keepAliveMsecs: TCP_KEEP_ALIVE_MS };
    const made =
      options.createAgent?.(tls) ?? (secure ? new HttpsAgent({ ...keepAlive, ...tls }) : new HttpAgent(keepAlive));
    agent = { tls, agent: made };
    return made;
  }

  async function send(request: KubeRequest, credentials: Credentials): Promise<IncomingMessage> {
    request.signal?.throwIfAborted();
    if (closed) throw new KubeConnectionError(options.server, "this connection to the API server has been closed");
    const { payload, contentType } = encodeBody(request.body);
    const target: RequestOptions = {
      protocol: base.protocol,
      hostname: base.hostname.replace(/^\[|\]$/g, ""),
      port: base.port || (secure ? 443 : 80),
      method: request.method,
      path: prefix + request.path + queryString(request.query),
      headers: {
        accept: "application/json",
        "user-agent": "weft",
        ...(payload === undefined
          ? {}
          : { "content-type": contentType, "content-length": String(Buffer.byteLength(payload)) }),
        ...request.headers,
        ...credentials.headers,
      },
      agent: agentFor(credentials.tls),
    };
    return await exchange(target, payload, request);
  }

  function exchange(target: RequestOptions, payload: string | Uint8Array | undefined, request: KubeRequest) {
    return new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = (secure ? httpsRequest : httpRequest)(target);
      const timeoutMs = request.timeoutMs ?? HEAD_TIMEOUT_MS;
      const timer =
        timeoutMs === 0
          ? undefined
          : setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
      const abort = () => outgoing.destroy(request.signal?.reason);
      request.signal?.addEventListener("abort", abort, { once: true });
      const settle = () => {
        clearTimeout(timer);
        request.signal?.removeEventListener("abort", abort);
      };
      outgoing.once("socket", (socket) => socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS));
      outgoing.once("response", (response) => {
        settle();
        resolve(response);
      });
      outgoing.on("error", (error) => {
        settle();
        if (request.signal?.aborted) return reject(request.signal.reason);
        // A kept connection that the server had closed meanwhile: no fault of this request.
        if (outgoing.reusedSocket && isReset(error) && request.method !== "POST") {
          return exchange(target, payload, request).then(resolve, reject);
        }
        reject(
          new KubeConnectionError(options.server, explainConnectionFailure(options.server, error), { cause: error }),
        );
      });
      outgoing.end(payload);
    });
  }

  return {
    server: options.server,
    async open(request) {
      request.signal?.throwIfAborted();
      const credentials = await options.credentials(request.signal);
      let response = await send(request, credentials);
      if (response.statusCode === 401 && options.rejected?.(credentials) === true) {
        response.destroy();
        response = await send(request, await options.credentials(request.signal));
      }
      return stream(options.server, response, request.signal);
    },
    close() {
      closed = true;
      agent?.agent.destroy();
    },
  };
}

function stream(server: string, response: IncomingMessage, signal: AbortSignal | undefined): KubeStream {
  const abort = () => response.destroy(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  response.once("close", () => signal?.removeEventListener("abort", abort));
  // The iterator reports errors; an unread body's error has nobody to tell.
  response.on("error", () => {});
  return {
    status: response.statusCode ?? 0,
    headers: Object.fromEntries(
      Object.entries(response.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(", ") : (value ?? ""),
      ]),
    ),
    body: readBody(server, response, signal),
    close: () => void response.destroy(),
  };
}

async function* readBody(server: string, response: IncomingMessage, signal: AbortSignal | undefined) {
  try {
    for await (const chunk of response) yield chunk as Uint8Array;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new KubeConnectionError(server, `${server} broke off its answer`, { cause: error });
  }
}

function encodeBody(body: unknown): { payload?: string | Uint8Array; contentType: string } {
  if (body === undefined) return { contentType: "" };
  if (typeof body === "string" || body instanceof Uint8Array) {
    return { payload: body, contentType: "application/octet-stream" };
  }
  return { payload: JSON.stringify(body), contentType: "application/json" };
}

function queryString(query: KubeRequest["query"]): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? "" : `?${parameters}`;
}

function isReset(error: NodeJS.ErrnoException): boolean {
  return error.code === "ECONNRESET" || error.code === "EPIPE";
}
