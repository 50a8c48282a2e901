/** Impersonate-User and its kin: a user who may, asks as somebody else. */
import type { IncomingMessage } from "node:http";
import { AUTHENTICATED_GROUP, SERVICE_ACCOUNTS_GROUP, type User } from "./access.ts";
import type { Rbac } from "./rbac.ts";
import { badRequest } from "./status.ts";

/** @throws StatusError 403 where `user` may not */
export function impersonate(request: IncomingMessage, user: User, rbac: Rbac): User {
  const name = request.headers["impersonate-user"];
  const groups = valuesOf(request, "impersonate-group");
  const uid = request.headers["impersonate-uid"];
  if (typeof name !== "string" || name === "") {
    if (groups.length > 0 || uid !== undefined)
      throw badRequest("requested impersonation of groups or uid without a user");
    return user;
  }
  const check = (resource: string, of: string, namespace = "", group = ""): void =>
    rbac.check(user, { verb: "impersonate", group, version: "v1", resource, subresource: "", namespace, name: of });
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  if (account === null) check("users", name);
  else check("serviceaccounts", account[2] ?? "", account[1]);
  for (const group of groups) check("groups", group);
  if (typeof uid === "string") check("uids", uid, "", "authentication.k8s.io");
  const extra: Record<string, string[]> = {};
  for (const [header, value] of Object.entries(request.headers)) {
    if (!header.startsWith("impersonate-extra-")) continue;
    const key = decodeURIComponent(header.slice("impersonate-extra-".length));
    check(`userextras/${key}`, String(value), "", "authentication.k8s.io");
    extra[key] = valuesOf(request, header);
  }
  const own =
    account === null || groups.length > 0
      ? groups
      : [SERVICE_ACCOUNTS_GROUP, `${SERVICE_ACCOUNTS_GROUP}:${account[1]}`];
  const all = name === "system:anonymous" ? own : [...new Set([...own, AUTHENTICATED_GROUP])];
  return { name, uid: typeof uid === "string" ? uid : "", groups: all, extra };
}

function valuesOf(request: IncomingMessage, header: string): string[] {
  const values: string[] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    if (request.rawHeaders[index]?.toLowerCase() === header) values.push(request.rawHeaders[index + 1] ?? "");
  }
  return values;
}
