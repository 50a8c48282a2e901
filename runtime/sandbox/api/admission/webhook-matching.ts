/** Does a webhook want to see a request: its rules, namespaceSelector and objectSelector. */
import { resource } from "../../../kube/resources.ts";
import type { AdmissionRequest } from "../admission.ts";
import { type Fields, listAt, type StoredObject } from "../object.ts";
import { selectorMatches } from "../selectors.ts";
import type { ObjectStore } from "../store.ts";

export function webhookMatches(webhook: Fields, request: AdmissionRequest, store: ObjectStore): boolean {
  return (
    listAt(webhook, "rules").some((rule) => ruleMatches(rule, request)) &&
    namespaceMatches(webhook["namespaceSelector"], request, store) &&
    [request.object, request.oldObject].some((object) => objectMatches(webhook["objectSelector"], object))
  );
}

function ruleMatches(rule: Fields, { operation, kind, subresource }: AdmissionRequest): boolean {
  const has = (field: string, value: string): boolean => {
    const list = rule[field];
    return Array.isArray(list) && (list.includes("*") || list.includes(value));
  };
  const scope = rule["scope"] ?? "*";
  const scopeFits = scope === "*" || (scope === "Namespaced") === kind.namespaced;
  return (
    has("operations", operation) &&
    has("apiGroups", kind.group) &&
    has("apiVersions", kind.version) &&
    scopeFits &&
    resourceMatches(rule, kind.plural, subresource)
  );
}

/** An entry names a resource, or a resource and a subresource; a star stands for any. */
function resourceMatches(rule: Fields, plural: string, subresource: string): boolean {
  const resources = rule["resources"];
  if (!Array.isArray(resources)) return false;
  return resources.some((entry) => {
    const [of = "", sub = ""] = String(entry).split("/");
    return (of === "*" || of === plural) && (sub === "*" || sub === subresource);
  });
}

function namespaceMatches(
  selector: unknown,
  { kind, namespace, object, oldObject }: AdmissionRequest,
  store: ObjectStore,
): boolean {
  // A Namespace is judged by its own labels; what belongs to none always matches.
  if (kind.kind === "Namespace" && kind.group === "")
    return selectorMatches(selector, (object ?? oldObject)?.metadata.labels);
  if (!kind.namespaced || namespace === undefined) return true;
  return selectorMatches(selector, store.get(resource.namespaces, undefined, namespace)?.metadata.labels);
}

function objectMatches(selector: unknown, object: StoredObject | undefined): boolean {
  return object !== undefined && selectorMatches(selector, object.metadata.labels);
}
