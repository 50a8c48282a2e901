/** Bodies of requests: JSON or YAML, of a bounded size. */
import type { IncomingMessage } from "node:http";
import { parse as parseYaml } from "yaml";
import { decodeReview } from "./protobuf-review.ts";
import { badRequest, StatusError, unsupportedMediaType } from "./status.ts";

/** As the API server's own limit. */
const MAX_BYTES = 3 * 1024 * 1024;

/** @throws StatusError 413, after the rest has been read and thrown away: an answer in the middle would break the connection */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes <= MAX_BYTES) chunks.push(chunk as Buffer);
  }
  if (bytes > MAX_BYTES) {
    throw new StatusError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728");
  }
  return Buffer.concat(chunks);
}

/** Undefined for an empty body. @throws StatusError 400, 415 */
export async function readObject(request: IncomingMessage): Promise<unknown> {
  const type = mediaType(request);
  const bytes = await readBody(request);
  if (bytes.length === 0) return undefined;
  if (type === "application/vnd.kubernetes.protobuf") return decodeReview(bytes);
  const text = bytes.toString("utf8");
  try {
    if (type.endsWith("yaml")) return text.trimStart().startsWith("{") ? JSON.parse(text) : parseYaml(text);
    if (type === "" || type.endsWith("json")) return JSON.parse(text);
  } catch (error) {
    throw badRequest(`the object provided is unrecognized: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml`,
  );
}

export function mediaType(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}
