/** Shows an error once: a message with its next step, details in the log. */
import { commands, window } from "vscode";
import { command } from "../contributions.ts";
import type { Log } from "../log.ts";
import { explain, oneText } from "./explain.ts";

const SHOW_LOG = "Show Log";

/** An operation that the user ended is no error. */
export function isCancellation(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "Canceled");
}

/** @param doing what failed, e.g. `Install Mesh` */
export async function reportError(log: Log, doing: string, error: unknown): Promise<void> {
  if (isCancellation(error)) return;
  const explanation = explain(error);
  log.error(`${doing}: ${oneText(explanation)}`);
  if (explanation.trouble === "unforeseen" && error instanceof Error && error.stack !== undefined)
    log.error(error.stack);
  const steps = explanation.nextSteps.slice(0, 2);
  const chosen = await window.showErrorMessage(
    `${doing}: ${oneText(explanation)}`,
    ...steps.map(({ title }) => title),
    SHOW_LOG,
  );
  if (chosen === undefined) return;
  const step = steps.find(({ title }) => title === chosen);
  await commands.executeCommand(step?.command ?? command.showLog);
}
