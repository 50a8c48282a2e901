/** Results of checks as Linkerd's command prints them: √ ‼ × (reference 2). */
import type { CheckResult } from "../../mesh/types.ts";
import type { Terminal } from "../terminal.ts";

const MARKS = { success: "√", warning: "‼", error: "×", skipped: "-" } as const;
const COLOURS = { success: "green", warning: "yellow", error: "red", skipped: "dim" } as const;

export function formatCheck(terminal: Terminal, { description, result, message, hint }: CheckResult): string {
  const lines = [`${terminal.style(COLOURS[result], MARKS[result])} ${description}`];
  if (message !== undefined) lines.push(...indented(message));
  if (hint !== undefined) lines.push(...indented(hint));
  return lines.join("\n");
}

function indented(text: string): string[] {
  return text.split("\n").map((line) => `    ${line}`);
}

export function formatCategory(name: string): string {
  return `${name}\n${"-".repeat(name.length)}`;
}

/** Linkerd's shape; `skipped` is Weft's own. */
export function checksJson(results: readonly CheckResult[]): string {
  const names = [...new Set(results.map(({ category }) => category))];
  const categories = names.map((categoryName) => ({
    categoryName,
    checks: results
      .filter(({ category }) => category === categoryName)
      .map(({ description, hint, message, result }) => ({
        description,
        ...(hint === undefined ? {} : { hint }),
        ...(message === undefined ? {} : { error: message }),
        result,
      })),
  }));
  return JSON.stringify({ success: !results.some(({ result }) => result === "error"), categories }, null, 2);
}
