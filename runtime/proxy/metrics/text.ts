/** Exposition text (Prometheus text format 0.0.4), as the proxy writes it. */

export type FamilyType = "counter" | "gauge" | "histogram";

/** Two rendered lists of pairs as one; both may be empty. */
export function joinLabels(left: string, right: string): string {
  return left === "" || right === "" ? left + right : `${left},${right}`;
}

export function renderHead(name: string, type: FamilyType, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

/** @param labels rendered pairs without braces; may be empty */
export function renderSample(name: string, labels: string, value: number): string {
  return labels === "" ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;
}
