/** HTTPS for the API server's webhook calls. The front hands it connections. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { Socket } from "node:net";
import { type Log, messageOf } from "../config/log.ts";
import type { TlsMaterial } from "../pki/tls-secret.ts";
import type { AdmissionReview, Injector } from "./admission.ts";

/** A pod is at most 1.5 MB in etcd; the review adds little. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const BODY_TIMEOUT_MS = 10_000;

export class WebhookServer {
  readonly #server: Server;
  readonly #injector: Pick<Injector, "review">;
  readonly #log: Log;

  constructor(injector: Pick<Injector, "review">, tls: TlsMaterial, log: Log) {
    this.#injector = injector;
    this.#log = log;
    this.#server = createServer({ ...contextOf(tls), requestTimeout: BODY_TIMEOUT_MS }, (request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        log.error("webhook call failed", { reason: messageOf(error) });
        if (!response.headersSent) response.writeHead(500);
        response.end();
      });
    });
    this.#server.on("tlsClientError", (error) => log.debug("TLS handshake failed", { reason: error.message }));
  }

  /** New connections use it; open ones go on. */
  setCertificate(tls: TlsMaterial): void {
    this.#server.setSecureContext(contextOf(tls));
  }

  /** @param socket whose ClientHello is still to be read */
  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Calls under way are answered; idle connections are closed. */
  close(): void {
    this.#server.closeIdleConnections();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "POST") {
      answer(response, 405, { error: "the injector answers POST of an AdmissionReview" });
      return;
    }
    const body = await readBody(request);
    if (body === undefined) {
      answer(response, 413, { error: `more than ${MAX_BODY_BYTES} bytes` });
      return;
    }
    const review = parseReview(body);
    if (review?.request === undefined) {
      this.#log.warn("webhook call without an AdmissionReview");
      answer(response, 400, { error: "the body is no AdmissionReview with a request" });
      return;
    }
    const { apiVersion, kind } = review;
    answer(response, 200, { apiVersion, kind, response: await this.#injector.review(review.request) });
  }
}

function contextOf(tls: TlsMaterial): { cert: string; key: string; minVersion: "TLSv1.2" } {
  return { cert: tls.certificate, key: tls.privateKey, minVersion: "TLSv1.2" };
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseReview(text: string): AdmissionReview | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const { request } = value as { request?: Record<string, unknown> };
    if (typeof request?.["uid"] !== "string" || typeof request["kind"] !== "object") return undefined;
    return value as AdmissionReview;
  } catch {
    return undefined;
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
