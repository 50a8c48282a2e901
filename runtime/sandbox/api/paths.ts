/** Paths that name no resource: health, version, discovery, OpenAPI. */
import { type Discovery, openApiDocument, openApiIndex, openApiV2, VERSION } from "./discovery.ts";
import type { Fields } from "./object.ts";
import type { Registry } from "./registry.ts";

interface PathContext {
  readonly accept: string | undefined;
  /** Where this server was reached, `host:port`. */
  readonly address: string;
  readonly ready: boolean;
  readonly registry: Registry;
  readonly discovery: Discovery;
}

export interface PathAnswer {
  readonly code: number;
  /** Text, or JSON. */
  readonly body: string | Fields;
  readonly contentType?: string;
}

/** Undefined where there is nothing. */
export function answerPath(path: string, context: PathContext): PathAnswer | undefined {
  const { ready, registry, discovery } = context;
  if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) {
    return ready || !path.startsWith("/readyz")
      ? { code: 200, body: "ok" }
      : { code: 500, body: "controllers are starting" };
  }
  if (path === "/version" || path === "/version/") return { code: 200, body: VERSION };
  if (path === "/openapi/v2") return { code: 200, body: openApiV2(registry) };
  if (path === "/openapi/v3" || path === "/openapi/v3/") return { code: 200, body: openApiIndex(discovery) };
  const document = /^\/openapi\/v3\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path);
  if (document !== null) {
    const body = openApiDocument(registry, document[1] ?? "", document[2] ?? "");
    return body === undefined ? undefined : { code: 200, body };
  }
  const found = discovery.answer(path, context.accept, context.address);
  return found === undefined ? undefined : { code: 200, ...found };
}
