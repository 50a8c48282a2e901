/** The Checks tree: categories, their checks, and of one that did not pass what was found and what to do. */
import type { CheckResult } from "../../runtime/mesh/types.ts";
import { itemContext } from "../contributions.ts";
import type { Row, RowIcon } from "./row.ts";

const WORST_FIRST: readonly CheckResult["result"][] = ["error", "warning", "skipped", "success"];
const WORDS: Readonly<Record<CheckResult["result"], string>> = {
  success: "passed",
  warning: "warning",
  error: "failed",
  skipped: "skipped",
};

export function checkRows(results: readonly CheckResult[]): Row[] {
  const byCategory = Map.groupBy(results, ({ category }) => category);
  return [...byCategory].map(([category, checks]): Row => {
    const worst = WORST_FIRST.find((result) => checks.some((check) => check.result === result)) ?? "success";
    const description = tally(checks);
    return {
      id: `category/${category}`,
      label: category,
      description,
      icon: `check-${worst}`,
      accessible: `${category}: ${description}`,
      children: checks.map((check, index) => checkRow(`check/${category}/${index}`, check)),
      expanded: worst === "error" || worst === "warning",
    };
  });
}

function checkRow(id: string, { description, result, message, hint }: CheckResult): Row {
  const icon: RowIcon = `check-${result}`;
  const children: Row[] = [
    ...(message === undefined
      ? []
      : [{ id: `${id}/message`, label: message, icon: "info", accessible: message } as const]),
    ...(hint === undefined
      ? []
      : [{ id: `${id}/hint`, label: hint, icon: "hint", accessible: `Next step: ${hint}` } as const]),
  ];
  return {
    id,
    label: description,
    icon,
    context: itemContext.check,
    accessible: [`${description}: ${WORDS[result]}`, message, hint].filter(Boolean).join(". "),
    ...(children.length === 0 ? {} : { children, expanded: true }),
  };
}

/** `18 passed, 1 warning, 2 failed` */
export function tally(results: readonly CheckResult[]): string {
  const count = (result: CheckResult["result"]): number => results.filter((check) => check.result === result).length;
  const parts: string[] = [];
  for (const result of ["success", "warning", "error", "skipped"] as const) {
    const number = count(result);
    if (number > 0 || result === "success")
      parts.push(`${number} ${result === "warning" && number > 1 ? "warnings" : WORDS[result]}`);
  }
  return parts.join(", ");
}
