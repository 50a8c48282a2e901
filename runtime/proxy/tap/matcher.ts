/** ObserveRequest.Match, compiled (reference 5.1). */
import type { HttpMethod, Scheme } from "../../api/gen/io/linkerd/proxy/http_types.ts";
import type {
  ObserveRequest_Match,
  ObserveRequest_Match_Http,
  ObserveRequest_Match_Http_StringMatch,
  ObserveRequest_Match_Tcp,
} from "../../api/gen/io/linkerd/proxy/tap.ts";
import type { Labels } from "../metrics/series.ts";
import { compileNetworks, networkFromWire } from "../policy/networks.ts";
import { REGISTERED_METHODS } from "../route/match.ts";
import type { TapRequest } from "./hub.ts";

export type TapTest = (request: TapRequest) => boolean;

const SCHEMES: readonly string[] = ["http", "https"];
/** Deeper trees are nobody's question. */
const MOST_LEVELS = 32;

/** A match that says nothing, or too much. */
export class TapMatchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TapMatchError";
  }
}

/** Absent: everything. @throws TapMatchError */
export function compileTapMatch(match: ObserveRequest_Match | undefined, level = 0): TapTest {
  if (match === undefined) return () => true;
  if (level > MOST_LEVELS) throw new TapMatchError(`matches are nested more than ${MOST_LEVELS} levels deep`);
  const kind = match.match;
  switch (kind?.$case) {
    case undefined:
      throw new TapMatchError("a match is empty");
    case "all": {
      const tests = kind.value.matches.map((inner) => compileTapMatch(inner, level + 1));
      return (request) => tests.every((test) => test(request));
    }
    case "any": {
      const tests = kind.value.matches.map((inner) => compileTapMatch(inner, level + 1));
      return (request) => tests.some((test) => test(request));
    }
    case "not": {
      const test = compileTapMatch(kind.value, level + 1);
      return (request) => !test(request);
    }
    case "source": {
      const test = compileTcp(kind.value);
      return ({ source }) => test(source.ip, source.port);
    }
    case "destination": {
      const test = compileTcp(kind.value);
      return ({ destination }) => test(destination.ip, destination.port);
    }
    case "http":
      return compileHttp(kind.value);
    case "destinationLabel": {
      const { key, value } = kind.value;
      return ({ destinationLabels }) => labelValue(destinationLabels, key) === value;
    }
    case "routeLabel": {
      const { key, value } = kind.value;
      return ({ routeLabels }) => labelValue(routeLabels, key) === value;
    }
  }
}

/** The tap API names labels as discovery does; metrics put `dst_` and `rt_` before those of a destination and a profile's route. */
export function labelValue(labels: Labels, key: string): string | undefined {
  return labels.find(([name]) => name === key || name === `dst_${key}` || name === `rt_${key}`)?.[1];
}

function compileTcp({ match }: ObserveRequest_Match_Tcp): (ip: string, port: number) => boolean {
  if (match?.$case === "ports") {
    const { min, max } = match.value;
    return (_ip, port) => port >= min && port <= max;
  }
  const network = networkFromWire(match && { ip: match.value.ip, prefixLen: match.value.mask });
  if (network === undefined) throw new TapMatchError("a TCP match names neither network nor ports");
  const test = compileNetworks([network]);
  return (ip) => test(ip);
}

function compileHttp({ match }: ObserveRequest_Match_Http): TapTest {
  switch (match?.$case) {
    case undefined:
      throw new TapMatchError("an HTTP match is empty");
    case "scheme": {
      const wanted = nameOf(match.value, SCHEMES);
      return ({ scheme }) => scheme === wanted;
    }
    case "method": {
      const wanted = nameOf(match.value, REGISTERED_METHODS);
      return ({ method }) => method === wanted;
    }
    case "authority": {
      const test = compileString(match.value);
      return ({ authority }) => test(authority);
    }
    case "path": {
      const test = compileString(match.value);
      return ({ path }) => test(path);
    }
  }
}

function nameOf({ type }: HttpMethod | Scheme, registered: readonly string[]): string {
  const name = type?.$case === "registered" ? registered[type.value] : type?.value;
  if (name === undefined) throw new TapMatchError("a match names no method or scheme");
  return name;
}

function compileString({ match }: ObserveRequest_Match_Http_StringMatch): (text: string) => boolean {
  if (match === undefined) throw new TapMatchError("a text match is empty");
  const { value } = match;
  return match.$case === "exact" ? (text) => text === value : (text) => text.startsWith(value);
}
