/** Label and field selectors, of URLs and of objects (apimachinery's labels and fields packages). */
import { type Fields, fieldsAt, isFields, type StoredObject } from "./object.ts";
import { badRequest } from "./status.ts";

type Labels = Readonly<Record<string, string>>;
export type LabelMatcher = (labels: Labels) => boolean;
export type FieldMatcher = (object: StoredObject) => boolean;

/** `a=b,c!=d,e in (f,g),h notin (i),j,!k`. @throws StatusError 400 */
export function parseLabelSelector(text: string): LabelMatcher {
  const matchers = splitOutsideBrackets(text)
    .filter((part) => part !== "")
    .map((part) => labelRequirement(part, text));
  return (labels) => matchers.every((matches) => matches(labels));
}

function labelRequirement(part: string, whole: string): LabelMatcher {
  const set = /^([^\s!=]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(part);
  if (set !== null) {
    const key = set[1] ?? "";
    const values = (set[3] ?? "").split(",").map((value) => value.trim());
    return set[2] === "in"
      ? (labels) => labels[key] !== undefined && values.includes(labels[key])
      : (labels) => labels[key] === undefined || !values.includes(labels[key]);
  }
  const equality = /^([^\s!=]+)\s*(==|=|!=)\s*([^\s!=]*)$/.exec(part);
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality;
    return operator === "!=" ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const absent = /^!\s*([^\s!=()]+)$/.exec(part);
  if (absent !== null) return (labels) => labels[absent[1] ?? ""] === undefined;
  if (/^[^\s!=()]+$/.test(part)) return (labels) => labels[part] !== undefined;
  throw badRequest(`unable to parse requirement: found '${part}' in label selector "${whole}"`);
}

function splitOutsideBrackets(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index <= text.length; index++) {
    const letter = text[index];
    if (letter === "(") depth++;
    else if (letter === ")") depth--;
    else if ((letter === "," && depth === 0) || letter === undefined) {
      parts.push(text.slice(start, index).trim());
      start = index + 1;
    }
  }
  return parts;
}

/** A metav1.LabelSelector. Absent selects nothing, empty everything. */
export function selectorMatches(selector: unknown, labels: Labels | undefined): boolean {
  if (!isFields(selector)) return false;
  const present = labels ?? {};
  for (const [key, value] of Object.entries(fieldsAt(selector, "matchLabels"))) {
    if (present[key] !== value) return false;
  }
  const expressions = selector["matchExpressions"];
  if (!Array.isArray(expressions)) return true;
  return expressions.every((expression: Fields) => {
    const value = present[String(expression["key"])];
    const values = Array.isArray(expression["values"]) ? (expression["values"] as string[]) : [];
    switch (expression["operator"]) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
      default:
        return false;
    }
  });
}

/** A plain map of labels, as Services and ReplicationControllers select by. Empty or absent selects nothing. */
export function labelsMatch(selector: unknown, labels: Labels | undefined): boolean {
  if (!isFields(selector)) return false;
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels?.[key] === value);
}

/** Fields that every kind can be selected by. */
const ALWAYS = ["metadata.name", "metadata.namespace"];

/**
 * `metadata.name=a,status.phase!=Running`.
 * @param supported further fields of the kind
 * @throws StatusError 400 for a field that cannot be selected by
 */
export function parseFieldSelector(text: string, supported: readonly string[]): FieldMatcher {
  const matchers = text
    .split(",")
    .filter((part) => part !== "")
    .map((part): FieldMatcher => {
      const match = /^([^=!]+)(==|=|!=)(.*)$/.exec(part);
      if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
      const [, field = "", operator, value] = match;
      if (!ALWAYS.includes(field) && !supported.includes(field)) {
        throw badRequest(
          supported.length > 0
            ? `field label not supported: ${field}`
            : `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`,
        );
      }
      const path = field.split(".");
      return (object) => (fieldText(object, path) === value) === (operator !== "!=");
    });
  return (object) => matchers.every((matches) => matches(object));
}

/** The one object name a field selector asks for; authorization by resourceNames looks at it. */
export function nameOfFieldSelector(text: string): string | undefined {
  for (const part of text.split(",")) {
    const match = /^metadata\.name==?(.*)$/.exec(part);
    if (match?.[1] !== undefined && match[1] !== "") return match[1];
  }
  return undefined;
}

function fieldText(object: unknown, path: readonly string[]): string {
  let current = object;
  for (const name of path) current = isFields(current) ? current[name] : undefined;
  return current === undefined || current === null ? "" : String(current);
}
