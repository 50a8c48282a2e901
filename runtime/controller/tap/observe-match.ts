/** The tap API's matches as proxies understand them (reference 5.1, 8.5). */
import { type HttpMethod, HttpMethod_Registered, type Scheme } from "../../api/gen/io/linkerd/proxy/http_types.ts";
import type {
  ObserveRequest_Match,
  ObserveRequest_Match_Http,
  ObserveRequest_Match_Http_StringMatch,
} from "../../api/gen/io/linkerd/proxy/tap.ts";
import type { ResourceSelection } from "../../api/gen/viz.ts";
import type { TapByResourceRequest_Match, TapByResourceRequest_Match_Http } from "../../api/gen/viz_tap.ts";
import { StatusError } from "../viz/status.ts";

/** A request's match is nested no deeper. */
const MAX_DEPTH = 32;

/** @throws StatusError BadRequest */
export function observeMatch(match: TapByResourceRequest_Match | undefined): ObserveRequest_Match | undefined {
  return match?.match === undefined ? undefined : translate(match, 0);
}

function translate({ match }: TapByResourceRequest_Match, depth: number): ObserveRequest_Match {
  if (depth > MAX_DEPTH) throw new StatusError("BadRequest", `the match is nested more than ${MAX_DEPTH} deep`);
  switch (match?.$case) {
    case "all":
      return { match: { $case: "all", value: { matches: sequence(match.value.matches, depth) } } };
    case "any":
      return { match: { $case: "any", value: { matches: sequence(match.value.matches, depth) } } };
    case "not":
      return { match: { $case: "not", value: translate(match.value, depth + 1) } };
    case "destinations":
      return destinations(match.value);
    case "http":
      return { match: { $case: "http", value: http(match.value) } };
    default:
      throw new StatusError("BadRequest", "the match holds a kind that this version does not know");
  }
}

function sequence(matches: readonly TapByResourceRequest_Match[], depth: number): ObserveRequest_Match[] {
  return matches.map((inner) => translate(inner, depth + 1));
}

/** By the labels that discovery gives to destinations. */
function destinations({ resource, labelSelector }: ResourceSelection): ObserveRequest_Match {
  if (labelSelector !== "") {
    throw new StatusError("BadRequest", "a label selector of destinations is not supported: name a resource");
  }
  const { type = "", name = "", namespace = "" } = resource ?? {};
  const singular = type.replace(/s$/, "");
  const labels: [string, string][] = [];
  if (singular === "namespace") labels.push(["namespace", name]);
  else {
    if (namespace !== "") labels.push(["namespace", namespace]);
    if (singular !== "" && singular !== "all" && name !== "") labels.push([singular, name]);
  }
  if (labels.length === 0) throw new StatusError("BadRequest", "a match of destinations names none");
  const matches = labels.map(
    ([key, value]): ObserveRequest_Match => ({ match: { $case: "destinationLabel", value: { key, value } } }),
  );
  return { match: { $case: "all", value: { matches } } };
}

function http({ match }: TapByResourceRequest_Match_Http): ObserveRequest_Match_Http {
  switch (match?.$case) {
    case "scheme":
      return { match: { $case: "scheme", value: { type: schemeOf(match.value) } } };
    case "method":
      return { match: { $case: "method", value: { type: methodOf(match.value.toUpperCase()) } } };
    case "authority":
      return { match: { $case: "authority", value: exact(match.value) } };
    case "path":
      return { match: { $case: "path", value: { match: { $case: "prefix", value: match.value } } } };
    default:
      throw new StatusError("BadRequest", "an HTTP match names nothing to match");
  }
}

const exact = (value: string): ObserveRequest_Match_Http_StringMatch => ({ match: { $case: "exact", value } });

function methodOf(name: string): HttpMethod["type"] {
  const registered = Object.entries(HttpMethod_Registered).find(([known]) => known === name)?.[1];
  return registered === undefined || registered === HttpMethod_Registered.UNRECOGNIZED
    ? { $case: "unregistered", value: name }
    : { $case: "registered", value: registered };
}

function schemeOf(name: string): Scheme["type"] {
  const lower = name.toLowerCase();
  if (lower === "http") return { $case: "registered", value: 0 };
  return lower === "https" ? { $case: "registered", value: 1 } : { $case: "unregistered", value: name };
}
