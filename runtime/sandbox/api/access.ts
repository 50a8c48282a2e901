/** Who asks, and for what. */

export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export const ADMIN_GROUP = "system:masters";
export const AUTHENTICATED_GROUP = "system:authenticated";
export const SERVICE_ACCOUNTS_GROUP = "system:serviceaccounts";

export function user(name: string, groups: readonly string[], more: Partial<User> = {}): User {
  return { name, uid: "", extra: {}, ...more, groups: [...groups, AUTHENTICATED_GROUP] };
}

export function serviceAccountUser(namespace: string, name: string, more: Partial<User> = {}): User {
  const groups = [SERVICE_ACCOUNTS_GROUP, `${SERVICE_ACCOUNTS_GROUP}:${namespace}`];
  return user(`system:serviceaccount:${namespace}:${name}`, groups, more);
}

/** A controller of the sandbox, as the one of kube-controller-manager is named. */
export function controllerUser(name: string): User {
  return serviceAccountUser("kube-system", name);
}

/** Attributes that authorization decides by. */
export interface ResourceAccess {
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

export interface PathAccess {
  readonly verb: string;
  readonly path: string;
}

export type Access = ResourceAccess | PathAccess;

export function isResourceAccess(access: Access): access is ResourceAccess {
  return "resource" in access;
}
