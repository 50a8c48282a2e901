/** What a request to stats.weft.dev asks for. */
import { formatDuration, parseDuration } from "../../model/duration.ts";
import { DEFAULT_WINDOW_MS, MAX_WINDOW_MS, MIN_WINDOW_MS, type StatResource } from "../../model/statistics.ts";
import { StatusError } from "./status.ts";

export interface StatsRequest {
  readonly resource: StatResource | "edges";
  /** Absent: all namespaces. */
  readonly namespace?: string;
  /** Absent: the whole collection. */
  readonly name?: string;
  /** Was one object asked for (an object is answered), or a collection narrowed to it (a list)? */
  readonly single: boolean;
  readonly windowMs: number;
  /** As asked. */
  readonly window: string;
  readonly watch: boolean;
  /** A meta.k8s.io/v1 Table is preferred. */
  readonly table: boolean;
}

const RESOURCES: readonly string[] = ["services", "deployments", "statefulsets", "daemonsets", "pods", "edges"];

/**
 * @param segments of the path, after group and version
 * @throws StatusError BadRequest, NotFound, NotImplemented
 */
export function parseStatsRequest(segments: readonly string[], query: URLSearchParams, accept: string): StatsRequest {
  const namespaced = segments[0] === "namespaces";
  const [resource = "", name, ...more] = namespaced ? segments.slice(2) : segments;
  const namespace = namespaced ? segments[1] : undefined;
  if (resource === "routes") {
    throw new StatusError(
      "NotImplemented",
      "figures of routes are not served yet: proxies count by route, but only services and workloads are added up",
    );
  }
  if (!RESOURCES.includes(resource) || more.length > 0 || (resource === "edges" && name !== undefined)) {
    throw new StatusError("NotFound", `the server could not find the requested resource: ${segments.join("/")}`);
  }
  if (name !== undefined && namespace === undefined) {
    throw new StatusError("BadRequest", `${resource} are namespaced: name the namespace of "${name}"`);
  }
  const selected = parseFieldSelector(query.get("fieldSelector"));
  if ((query.get("labelSelector") ?? "") !== "") {
    throw new StatusError("BadRequest", "labelSelector is not supported: figures carry no labels");
  }
  const { windowMs, window } = parseWindow(query.get("window"));
  const only = name ?? selected;
  return {
    resource: resource as StatsRequest["resource"],
    ...(namespace === undefined ? {} : { namespace }),
    ...(only === undefined ? {} : { name: only }),
    single: name !== undefined,
    windowMs,
    window,
    watch: isTrue(query.get("watch")),
    table: prefersTable(accept),
  };
}

function parseWindow(text: string | null): { windowMs: number; window: string } {
  if (text === null || text === "") return { windowMs: DEFAULT_WINDOW_MS, window: formatDuration(DEFAULT_WINDOW_MS) };
  const windowMs = parseDuration(text);
  if (windowMs === undefined) {
    throw new StatusError("BadRequest", `window "${text}" is no duration: write 10s, 1m, 1h…`);
  }
  if (windowMs < MIN_WINDOW_MS || windowMs > MAX_WINDOW_MS) {
    const range = `${formatDuration(MIN_WINDOW_MS)} to ${formatDuration(MAX_WINDOW_MS)}`;
    throw new StatusError("BadRequest", `a window of ${text} is not kept: ask for ${range}`);
  }
  return { windowMs, window: text };
}

/** kubectl's watch of one object narrows the collection this way. */
function parseFieldSelector(text: string | null): string | undefined {
  if (text === null || text === "") return undefined;
  const name = /^metadata\.name={1,2}([^,=]+)$/.exec(text)?.[1];
  if (name === undefined) {
    throw new StatusError("BadRequest", `field selector "${text}" is not supported, only metadata.name=<name>`);
  }
  return name;
}

function isTrue(text: string | null): boolean {
  return text !== null && /^(1|t|true)$/i.test(text);
}

/** The first kind of JSON in the list decides, as in kubectl's `…;as=Table;v=v1;g=meta.k8s.io,application/json`. */
function prefersTable(accept: string): boolean {
  for (const range of accept.split(",")) {
    const [type, ...parameters] = range.split(";").map((part) => part.trim());
    if (type !== "application/json" && type !== "application/*" && type !== "*/*") continue;
    const as = parameters.find((parameter) => parameter.startsWith("as="));
    if (as === undefined) return false;
    if (as === "as=Table" && parameters.includes("v=v1")) return true;
  }
  return false;
}
