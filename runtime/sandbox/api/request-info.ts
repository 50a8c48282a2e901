/** What a request's line asks for (apiserver's RequestInfo). */
import type { Access } from "./access.ts";

export interface ResourceRequest {
  readonly verb: "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string | undefined;
  /** "" for collections. */
  readonly name: string;
  /** What follows the subresource, for proxies: `metrics/all`. */
  readonly rest: string;
}

export interface RequestInfo {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Undefined: a path that names no resource, e.g. /healthz, /apis/apps. */
  readonly resource: ResourceRequest | undefined;
}

const VERBS: Readonly<Record<string, [one: ResourceRequest["verb"], all: ResourceRequest["verb"]]>> = {
  GET: ["get", "list"],
  HEAD: ["get", "list"],
  POST: ["create", "create"],
  PUT: ["update", "update"],
  PATCH: ["patch", "patch"],
  DELETE: ["delete", "deletecollection"],
};

export function requestInfo(method: string, url: string): RequestInfo {
  const mark = url.indexOf("?");
  const path = mark === -1 ? url : url.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? "" : url.slice(mark + 1));
  return { method, path, query, resource: resourceOf(method, path, query) };
}

function resourceOf(method: string, path: string, query: URLSearchParams): ResourceRequest | undefined {
  const verbs = VERBS[method];
  const parts = path.split("/").slice(1).map(decode);
  const [root, ...afterRoot] = parts;
  let group = "";
  let rest: string[];
  if (root === "api") rest = afterRoot;
  else if (root === "apis") {
    group = afterRoot[0] ?? "";
    rest = afterRoot.slice(1);
  } else return undefined;
  const [version = "", ...names] = rest.filter((part, index) => part !== "" || index < rest.length - 1);
  if (verbs === undefined || names.length === 0 || version === "") return undefined;

  let namespace: string | undefined;
  // `/apis/<group>/<version>/watch/…`, a verb in the path: deprecated, but what Linkerd's tap API is asked by.
  const verbInPath = names[0] === "watch" && names.length > 1;
  let left = verbInPath ? names.slice(1) : names;
  // `namespaces/a/pods`: pods in a; but `namespaces/a` and `namespaces/a/status` are of the namespace itself.
  if (left[0] === "namespaces" && left[1] !== undefined) {
    if (left.length > 2 && !(group === "" && ["status", "finalize"].includes(left[2] ?? ""))) {
      namespace = left[1];
      left = left.slice(2);
    } else if (group === "") namespace = left[1];
  }
  const [resource = "", name = "", subresource = "", ...tail] = left;
  let verb = name === "" ? verbs[1] : verbs[0];
  if (verbInPath || (verb === "list" && isTrue(query.get("watch")))) verb = "watch";
  return { verb, group, version, resource, subresource, namespace, name, rest: tail.join("/") };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function isTrue(text: string | null): boolean {
  return text === "true" || text === "1";
}

/** What authorization is asked. `name` may come from a field selector, so that rules with resourceNames let lists and watches pass. */
export function accessOf(info: RequestInfo, selectedName: string | undefined): Access {
  const { resource } = info;
  if (resource === undefined) return { verb: info.method.toLowerCase(), path: info.path };
  return {
    verb: resource.verb,
    group: resource.group,
    version: resource.version,
    resource: resource.resource,
    subresource: resource.subresource,
    namespace: resource.namespace ?? "",
    name: resource.name === "" ? (selectedName ?? "") : resource.name,
  };
}
