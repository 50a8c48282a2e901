/** Labels in exposition text (Prometheus text format 0.0.4). */

/** `a="b",c="d"`, without braces. */
export function renderLabels(labels: Iterable<readonly [name: string, value: string]>): string {
  return Array.from(labels, ([name, value]) => `${name}="${escapeLabelValue(value)}"`).join(",");
}

/** Backslash, quote and line feed are escaped; everything else stands as it is. */
export function escapeLabelValue(value: string): string {
  return /["\\\n]/.test(value) ? value.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n") : value;
}
