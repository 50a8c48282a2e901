/** Answers as they go over the wire. */
import type { ServerResponse } from "node:http";
import type { StatusError } from "./status.ts";

export function statusBody(error: StatusError): Record<string, unknown> {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: error.message,
    ...(error.reason === "" ? {} : { reason: error.reason }),
    ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
    code: error.status,
  };
}

export function sendJson(
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Readonly<Record<string, string | string[]>> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(code, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-cache, private",
    ...headers,
  });
  response.end(text);
}

export function sendText(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { "content-type": "text/plain; charset=utf-8", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

export function sendStatus(response: ServerResponse, error: StatusError): void {
  const headers = error.retryAfter === undefined ? {} : { "retry-after": String(error.retryAfter) };
  sendJson(response, error.status, statusBody(error), headers);
}

/** RFC 7234 warnings, as kubectl shows them. */
export function warningHeaders(warnings: readonly string[]): Record<string, string[]> {
  if (warnings.length === 0) return {};
  return { warning: warnings.map((warning) => `299 - "${warning.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`) };
}
