/** The proxy's own answers in HTTP/1: a head, and no body (reference 5.9). */
import { type Audience, grpcCode, printable, type Refusal } from "../http/failure.ts";

const REASONS: Readonly<Record<number, string>> = {
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  508: "Loop Detected",
};

/** The whole answer, head only. */
export function refusalBytes(refusal: Refusal, audience: Audience, options: { close: boolean; grpc: boolean }): Buffer {
  const { status } = refusal;
  const lines = options.grpc
    ? [
        "HTTP/1.1 200 OK",
        "content-type: application/grpc",
        `grpc-status: ${grpcCode(refusal)}`,
        `grpc-message: ${encodeURIComponent(refusal.message)}`,
      ]
    : [`HTTP/1.1 ${status} ${REASONS[status] ?? "Error"}`];
  lines.push("content-length: 0", `date: ${new Date().toUTCString()}`);
  for (const [name, value] of refusal.lines) lines.push(`${name}: ${value.replace(/[\r\n]/g, "")}`);
  if (audience.informed && refusal.cause !== "redirected") lines.push(`l5d-proxy-error: ${printable(refusal.message)}`);
  if (audience.meshed && refusal.undelivered) lines.push("weft-not-delivered: 1");
  if (audience.meshed && refusal.close) lines.push("l5d-proxy-connection: close");
  if (options.close) lines.push("connection: close");
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}
