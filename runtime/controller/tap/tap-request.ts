/** What a request to tap.linkerd.io asks for: its path, and the TapByResourceRequest in its body (reference 8.5). */
import { TapByResourceRequest } from "../../api/gen/viz_tap.ts";
import { StatusError } from "../viz/status.ts";

export interface TapTarget {
  readonly namespace: string;
  /** Plural, as in the path: `namespaces`, `pods`, `services`, `deployments`… */
  readonly resource: string;
  readonly name: string;
}

export interface TapRequest {
  readonly target: TapTarget;
  readonly query: TapByResourceRequest;
  readonly maxRps: number;
}

const RESOURCES: readonly string[] = [
  "pods",
  "services",
  "deployments",
  "daemonsets",
  "statefulsets",
  "replicasets",
  "replicationcontrollers",
  "jobs",
  "cronjobs",
];
const DEFAULT_MAX_RPS = 100;
const MOST_MAX_RPS = 10_000;

/** @param segments of the path after group and version. @throws StatusError NotFound */
export function parseTapPath(segments: readonly string[]): TapTarget {
  const [watch, namespaces, namespace, ...rest] = segments;
  if (watch === "watch" && namespaces === "namespaces" && namespace !== undefined) {
    if (rest.length === 1 && rest[0] === "tap") return { namespace, resource: "namespaces", name: namespace };
    const [resource = "", name = "", tap] = rest;
    if (rest.length === 3 && tap === "tap" && name !== "" && RESOURCES.includes(resource)) {
      return { namespace, resource, name };
    }
  }
  throw new StatusError("NotFound", `the server could not find the requested resource: ${segments.join("/")}`);
}

/** @throws StatusError BadRequest where the body is no query, or one for something else than the path names */
export function parseTapBody(target: TapTarget, body: Uint8Array): TapRequest {
  let query: TapByResourceRequest;
  try {
    query = TapByResourceRequest.decode(body);
  } catch (cause) {
    throw new StatusError("BadRequest", "the body is no linkerd2.tap.TapByResourceRequest", { cause });
  }
  const { type = "", name = "", namespace = "" } = query.target?.resource ?? {};
  const plural = type.endsWith("s") ? type : `${type}s`;
  // Rights were reviewed for what the path names.
  const same =
    plural === target.resource &&
    name === target.name &&
    (target.resource === "namespaces" || namespace === target.namespace);
  if (!same) {
    throw new StatusError(
      "BadRequest",
      `the body asks for ${type}/${name} in "${namespace}", the path for ${target.resource}/${target.name} in "${target.namespace}"`,
    );
  }
  const { maxRps } = query;
  if (!(maxRps >= 0)) throw new StatusError("BadRequest", `maxRps is ${maxRps}: give a number above 0`);
  return { target, query, maxRps: Math.min(maxRps === 0 ? DEFAULT_MAX_RPS : maxRps, MOST_MAX_RPS) };
}
