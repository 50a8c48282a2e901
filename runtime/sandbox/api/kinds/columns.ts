/** What every table of `kubectl get` is made of. */
import type { Column } from "../kind.ts";
import { fieldsAt, numberAt, type StoredObject } from "../object.ts";

export function column(
  name: string,
  value: (object: StoredObject) => string | number | boolean,
  options: Partial<Pick<Column, "type" | "priority">> = {},
): Column {
  return { name, type: "string", value, ...options };
}

export function count(name: string, ...path: string[]): Column {
  return column(name, (object) => numberAt(object, ...path) ?? 0, { type: "integer" });
}

/** `a=b,c=d`, or `<none>`. */
export function labelText(labels: unknown): string {
  const entries = Object.entries(fieldsAt(labels));
  return entries.length === 0
    ? "<none>"
    : entries
        .map(([key, value]) => `${key}=${String(value)}`)
        .sort()
        .join(",");
}

/** As duration.HumanDuration: 12s, 3m4s, 5h, 2d. */
export function ageOf(object: StoredObject, now = Date.now()): string {
  return age(object.metadata.creationTimestamp, now);
}

export function age(time: string | undefined, now = Date.now()): string {
  if (time === undefined) return "<unknown>";
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  return `${days}d`;
}
