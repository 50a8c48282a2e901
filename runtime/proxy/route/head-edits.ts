/** Changes that filters make to heads (Gateway API's modifiers and rewrites), compiled to {@link HeadEdits}. */
import type { PathModifier, RequestHeaderModifier, UrlRewrite } from "../../api/gen/io/linkerd/proxy/http_route.ts";
import type { Headers } from "../../api/gen/io/linkerd/proxy/http_types.ts";
import type { HeaderList } from "../http/request-head.ts";
import type { HeadEdits } from "../http/route-rule.ts";

/** RequestHeaderModifier and ResponseHeaderModifier are the same. What frames a message is not theirs to change. */
export function modifierEdits({ add, set, remove }: RequestHeaderModifier): HeadEdits {
  const authority = set?.headers.find(({ name }) => name.toLowerCase() === "host");
  return {
    remove: remove.map((name) => name.toLowerCase()).filter(isFree),
    set: list(set),
    add: list(add),
    ...(authority === undefined ? {} : { authority: authority.value.toString("latin1") }),
  };
}

const FRAMING = new Set(["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"]);

function isFree(name: string): boolean {
  return !FRAMING.has(name) && !name.startsWith(":");
}

function list(headers: Headers | undefined): HeaderList {
  const all = (headers?.headers ?? []).map(({ name, value }): [string, string] => [
    name.toLowerCase(),
    value.toString("latin1").replace(/[\r\n\0]/g, ""),
  ]);
  return all.filter(([name]) => isFree(name));
}

/** @param matchedPrefix what the route's match asks of the path; undefined where it asks for no prefix: all of it is replaced then */
export function rewriteEdits({ host, path }: UrlRewrite, matchedPrefix: string | undefined): HeadEdits {
  const modify = pathChange(path, matchedPrefix);
  return {
    remove: [],
    set: [],
    add: [],
    ...(host === "" ? {} : { authority: host }),
    ...(modify === undefined ? {} : { path: modify }),
  };
}

/** Gateway API's HTTPPathModifier. `/foo` replaced by `/` in `/foo/bar` leaves `/bar`. */
export function pathChange(
  modifier: PathModifier | undefined,
  matchedPrefix: string | undefined,
): ((path: string) => string) | undefined {
  const replace = modifier?.replace;
  if (replace === undefined) return undefined;
  if (replace.$case === "full") {
    const full = rooted(replace.value);
    return () => full;
  }
  const prefix = (matchedPrefix ?? "/").replace(/\/+$/, "");
  const instead = replace.value.replace(/\/+$/, "");
  return (path) => {
    if (path !== prefix && !path.startsWith(`${prefix}/`)) return path;
    return rooted(instead + path.slice(prefix.length));
  };
}

function rooted(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}

/** One after the other, as one. */
export function mergeEdits(first: HeadEdits | undefined, then: HeadEdits | undefined): HeadEdits | undefined {
  if (first === undefined || then === undefined) return first ?? then;
  const gone = new Set([...then.remove, ...then.set.map(([name]) => name)]);
  const stays = ([name]: readonly [string, string]): boolean => !gone.has(name);
  const authority = then.authority ?? first.authority;
  const path = both(first.path, then.path);
  return {
    remove: [...new Set([...first.remove, ...then.remove])],
    set: [...first.set.filter(stays), ...then.set],
    add: [...first.add.filter(stays), ...then.add],
    ...(authority === undefined ? {} : { authority }),
    ...(path === undefined ? {} : { path }),
  };
}

function both(first: HeadEdits["path"], then: HeadEdits["path"]): HeadEdits["path"] {
  if (first === undefined || then === undefined) return first ?? then;
  return (path) => then(first(path));
}

/** @returns the fields after the edits, in the order they came; what was added is last */
export function editFields(fields: HeaderList, { remove, set, add }: HeadEdits): HeaderList {
  const gone = new Set([...remove, ...set.map(([name]) => name)]);
  return [...fields.filter(([name]) => !gone.has(name)), ...set, ...add];
}
