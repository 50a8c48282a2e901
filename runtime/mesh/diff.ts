/** What server-side apply would change in an object, by field path. */
import type { KubeObject } from "../kube/types.ts";

/** Written by the API server on each change: no difference of the user's making. */
const SERVER_FIELDS = ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];
const MAX_PATHS = 12;
const MAX_VALUE = 60;

/** One line a field, e.g. `spec.replicas: 1 → 2`; long values are not shown. Empty where nothing differs. */
export function differences(before: KubeObject, after: KubeObject): string[] {
  const lines: string[] = [];
  compare("", withoutServerFields(before), withoutServerFields(after), lines);
  return lines;
}

/** @returns the first lines, and how many more there are */
export function summarize(lines: readonly string[]): string {
  const shown = lines.slice(0, MAX_PATHS);
  return lines.length > shown.length
    ? [...shown, `and ${lines.length - shown.length} more`].join("; ")
    : shown.join("; ");
}

function withoutServerFields(object: KubeObject): unknown {
  const { status: _, metadata, ...rest } = object;
  const kept = Object.fromEntries(Object.entries(metadata).filter(([key]) => !SERVER_FIELDS.includes(key)));
  return { ...rest, metadata: kept };
}

function compare(path: string, before: unknown, after: unknown, lines: string[]): void {
  if (Array.isArray(before) && Array.isArray(after)) {
    compareLists(path, before, after, lines);
  } else if (isRecord(before) && isRecord(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      compare(path === "" ? key : `${path}.${key}`, before[key], after[key], lines);
    }
  } else if (before !== after) {
    lines.push(describe(path, before, after));
  }
}

/** Elements of Kubernetes' lists go by name where they have one. */
function compareLists(path: string, before: readonly unknown[], after: readonly unknown[], lines: string[]): void {
  const named = [...before, ...after].every((element) => nameOf(element) !== undefined);
  if (!named) {
    for (let index = 0; index < Math.max(before.length, after.length); index++) {
      compare(`${path}[${index}]`, before[index], after[index], lines);
    }
    return;
  }
  const find = (list: readonly unknown[], name: string) => list.find((element) => nameOf(element) === name);
  for (const name of new Set([...before, ...after].map((element) => nameOf(element) as string))) {
    compare(`${path}[${name}]`, find(before, name), find(after, name), lines);
  }
}

function describe(path: string, before: unknown, after: unknown): string {
  if (before === undefined) return `${path}: added${short(after, " ")}`;
  if (after === undefined) return `${path}: removed`;
  const [old, fresh] = [short(before), short(after)];
  return old === "" || fresh === "" ? `${path}: changed` : `${path}: ${old} → ${fresh}`;
}

/** A scalar as text, where it is short enough to be read. */
function short(value: unknown, prefix = ""): string {
  if (typeof value === "object") return "";
  const text = String(value);
  return text.length > MAX_VALUE || text.includes("\n") ? "" : `${prefix}${text === "" ? '""' : text}`;
}

function nameOf(element: unknown): string | undefined {
  const name = isRecord(element) ? element["name"] : undefined;
  return typeof name === "string" ? name : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
