/** Role-based access control over the stored roles and bindings (rbac.authorization.k8s.io/v1). */
import { resource } from "../../kube/resources.ts";
import { type Access, ADMIN_GROUP, isResourceAccess, type ResourceAccess, type User } from "./access.ts";
import { fieldsAt, listAt, type StoredObject, stringAt } from "./object.ts";
import { forbidden, type StatusError } from "./status.ts";
import type { ObjectStore } from "./store.ts";

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

export interface Decision {
  readonly allowed: boolean;
  /** Which binding allowed it; empty where none did. */
  readonly reason: string;
}

export class Rbac {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  decide(user: User, access: Access): Decision {
    if (user.groups.includes(ADMIN_GROUP)) return { allowed: true, reason: "" };
    const namespace = isResourceAccess(access) ? access.namespace : "";
    for (const { rules, binding } of this.#bindingsOf(user, namespace)) {
      if (rules.some((rule) => allows(rule, access))) {
        return { allowed: true, reason: `RBAC: allowed by ${binding}` };
      }
    }
    return { allowed: false, reason: "" };
  }

  /** @throws StatusError 403 in the words of the real one */
  check(user: User, access: Access): void {
    if (!this.decide(user, access).allowed) throw refusal(user, access);
  }

  /** Every rule that holds for a user in a namespace. */
  rulesFor(user: User, namespace: string): PolicyRule[] {
    const all = user.groups.includes(ADMIN_GROUP)
      ? [
          { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
          { verbs: ["*"], nonResourceURLs: ["*"] },
        ]
      : [];
    return [...all, ...this.#bindingsOf(user, namespace).flatMap(({ rules }) => rules)];
  }

  #bindingsOf(user: User, namespace: string): { rules: readonly PolicyRule[]; binding: string }[] {
    const found: { rules: readonly PolicyRule[]; binding: string }[] = [];
    const add = (binding: StoredObject, kind: string): void => {
      const subject = listAt(binding, "subjects").find((entry) => isSubject(user, entry, binding.metadata.namespace));
      if (subject === undefined) return;
      const roleKind = stringAt(binding, "roleRef", "kind") ?? "";
      const roleName = stringAt(binding, "roleRef", "name") ?? "";
      const role =
        roleKind === "Role"
          ? this.#store.get(resource.roles, binding.metadata.namespace, roleName)
          : this.#store.get(resource.clusterRoles, undefined, roleName);
      const of = binding.metadata.namespace === undefined ? "" : `/${binding.metadata.namespace}`;
      const to = `${String(subject["kind"])} "${subjectText(subject, binding.metadata.namespace)}"`;
      const text = `${kind} "${binding.metadata.name}${of}" of ${roleKind} "${roleName}" to ${to}`;
      if (role !== undefined) found.push({ rules: listAt(role, "rules") as unknown as PolicyRule[], binding: text });
    };
    for (const binding of this.#store.snapshot(resource.clusterRoleBindings).objects)
      add(binding, "ClusterRoleBinding");
    if (namespace !== "") {
      for (const binding of this.#store.snapshot(resource.roleBindings, namespace).objects) add(binding, "RoleBinding");
    }
    return found;
  }
}

function isSubject(user: User, subject: Record<string, unknown>, bindingNamespace: string | undefined): boolean {
  switch (subject["kind"]) {
    case "User":
      return user.name === subject["name"];
    case "Group":
      return user.groups.includes(String(subject["name"]));
    case "ServiceAccount": {
      const namespace = String(subject["namespace"] ?? bindingNamespace ?? "");
      return user.name === `system:serviceaccount:${namespace}:${String(subject["name"])}`;
    }
    default:
      return false;
  }
}

/** `name`, or `name/namespace` of a service account. */
function subjectText(subject: Record<string, unknown>, bindingNamespace: string | undefined): string {
  const name = String(subject["name"]);
  return subject["kind"] === "ServiceAccount"
    ? `${name}/${String(subject["namespace"] ?? bindingNamespace ?? "")}`
    : name;
}

function allows(rule: PolicyRule, access: Access): boolean {
  if (!has(rule.verbs, access.verb)) return false;
  if (!isResourceAccess(access)) {
    return (rule.nonResourceURLs ?? []).some(
      (url) => url === access.path || url === "*" || (url.endsWith("*") && access.path.startsWith(url.slice(0, -1))),
    );
  }
  return (
    has(rule.apiGroups, access.group) &&
    coversResource(rule.resources ?? [], access) &&
    ((rule.resourceNames ?? []).length === 0 ||
      (access.name !== "" && (rule.resourceNames ?? []).includes(access.name)))
  );
}

function has(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes("*") || list.includes(value));
}

function coversResource(resources: readonly string[], access: ResourceAccess): boolean {
  const asked = access.subresource === "" ? access.resource : `${access.resource}/${access.subresource}`;
  if (resources.includes("*") || resources.includes(asked)) return true;
  return access.subresource !== "" && resources.includes(`*/${access.subresource}`);
}

function refusal(user: User, access: Access): StatusError {
  if (!isResourceAccess(access)) {
    return forbidden(undefined, "", `User "${user.name}" cannot ${access.verb} path "${access.path}"`);
  }
  const full = access.subresource === "" ? access.resource : `${access.resource}/${access.subresource}`;
  const scope = access.namespace === "" ? "at the cluster scope" : `in the namespace "${access.namespace}"`;
  return forbidden(
    { group: access.group, plural: access.resource },
    access.name,
    `User "${user.name}" cannot ${access.verb} resource "${full}" in API group "${access.group}" ${scope}`,
  );
}

/** Rules of a ClusterRole that collects others by their labels. */
export function aggregatedRules(role: StoredObject, all: readonly StoredObject[]): unknown[] | undefined {
  const selectors = listAt(role, "aggregationRule", "clusterRoleSelectors");
  if (selectors.length === 0) return undefined;
  const matching = all.filter(
    (other) =>
      other.metadata.name !== role.metadata.name &&
      selectors.some((selector) => matchesLabels(fieldsAt(selector, "matchLabels"), other.metadata.labels ?? {})),
  );
  const seen = new Map<string, unknown>();
  for (const other of matching) for (const rule of listAt(other, "rules")) seen.set(JSON.stringify(rule), rule);
  return [...seen.values()];
}

function matchesLabels(wanted: Record<string, unknown>, labels: Record<string, string>): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}
