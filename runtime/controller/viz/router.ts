/** Which part of the aggregated API a path belongs to. */
import { STATS_GROUP, TAP_GROUP } from "../../model/statistics.ts";
import {
  AGGREGATED_DISCOVERY,
  aggregatedDiscovery,
  apiGroup,
  apiGroupList,
  apiResourceList,
  type ServedGroup,
  servedGroups,
} from "./discovery.ts";
import type { Exchange } from "./exchange.ts";
import { openApiV2, openApiV3, openApiV3Index } from "./openapi.ts";
import { StatusError } from "./status.ts";

/** Serves a path below `/apis/<group>/<version>/`; `segments` are what follows that, decoded. */
export type GroupHandler = (exchange: Exchange, segments: readonly string[]) => Promise<void>;

export interface RouterOptions {
  readonly stats: GroupHandler;
  readonly tap: GroupHandler;
  readonly version: string;
  readonly ready: () => boolean;
}

export function createRouter(options: RouterOptions): (exchange: Exchange) => Promise<void> {
  const handlers = new Map<string, GroupHandler>([
    [STATS_GROUP, options.stats],
    [TAP_GROUP, options.tap],
  ]);
  return async (exchange) => {
    const segments = splitPath(exchange.url.pathname);
    const [root, group, version, ...rest] = segments;
    const served = servedGroups.find((candidate) => candidate.group === group);
    if (root === "apis" && served !== undefined && version === served.version && rest.length > 0) {
      await handlers.get(served.group)?.(exchange, rest);
      return;
    }
    const document = publicDocument(exchange, segments, served, options);
    if (document === undefined) throw notFound(exchange);
    if (exchange.method !== "GET" && exchange.method !== "HEAD") throw onlyGet(exchange);
    exchange.send(200, document.contentType ?? "application/json", document.body);
  };
}

interface Document {
  readonly contentType?: string;
  readonly body: string;
}

const json = (value: unknown, contentType?: string): Document => ({
  body: JSON.stringify(value),
  ...(contentType === undefined ? {} : { contentType }),
});

function publicDocument(
  exchange: Exchange,
  segments: readonly string[],
  served: ServedGroup | undefined,
  { version, ready }: RouterOptions,
): Document | undefined {
  const [root, second] = segments;
  switch (root) {
    case "healthz":
    case "livez":
      return { contentType: "text/plain", body: "ok" };
    case "readyz":
      if (!ready()) throw new StatusError("ServiceUnavailable", "the first lists of the cluster are still being read");
      return { contentType: "text/plain", body: "ok" };
    case "version":
      return json({ major: "0", minor: "1", gitVersion: `v${version}` });
    case "openapi":
      if (second === "v2" && segments.length === 2) return json(openApiV2());
      if (second !== "v3") return undefined;
      return segments.length === 2 ? json(openApiV3Index()) : openApiOf(segments.slice(2));
    case "apis":
      return discoveryDocument(exchange, segments, served);
    default:
      return undefined;
  }
}

function openApiOf([root, group, version, ...rest]: readonly string[]): Document | undefined {
  const served = servedGroups.find((candidate) => candidate.group === group && candidate.version === version);
  return root === "apis" && served !== undefined && rest.length === 0 ? json(openApiV3(served)) : undefined;
}

function discoveryDocument(
  { accept }: Exchange,
  segments: readonly string[],
  served: ServedGroup | undefined,
): Document | undefined {
  if (segments.length === 1) {
    return wantsAggregatedDiscovery(accept) ? json(aggregatedDiscovery(), AGGREGATED_DISCOVERY) : json(apiGroupList());
  }
  if (served === undefined) return undefined;
  if (segments.length === 2) return json(apiGroup(served));
  return segments[2] === served.version ? json(apiResourceList(served)) : undefined;
}

function wantsAggregatedDiscovery(accept: string): boolean {
  return accept.split(",").some((range) => {
    const parameters = range.split(";").map((part) => part.trim());
    return parameters.includes("as=APIGroupDiscoveryList") && parameters.includes("v=v2");
  });
}

/** @throws StatusError BadRequest where an escape is broken */
function splitPath(path: string): string[] {
  try {
    return path
      .split("/")
      .filter((segment) => segment !== "")
      .map(decodeURIComponent);
  } catch {
    throw new StatusError("BadRequest", `the path ${path} holds a broken escape`);
  }
}

export function notFound(exchange: Exchange): StatusError {
  return new StatusError("NotFound", `the server could not find the requested resource: ${exchange.url.pathname}`);
}

export function onlyGet(exchange: Exchange): StatusError {
  return new StatusError("MethodNotAllowed", `${exchange.method} is not supported here, only GET`);
}
