/** A walk over a cluster that the user watches and may stop. */
import { ProgressLocation, window } from "vscode";
import type { ProgressEvent, Run } from "../../runtime/mesh/types.ts";
import type { Session } from "../cluster/session.ts";
import type { Weft } from "../container.ts";

/** @param title e.g. `Installing Weft on "kind"` */
export async function runWithProgress<T>(
  weft: Weft,
  session: Session,
  title: string,
  work: (run: Run) => Promise<T>,
  onEvent?: (event: ProgressEvent) => void,
): Promise<T> {
  weft.log.info(title);
  return await window.withProgress(
    { location: ProgressLocation.Notification, title, cancellable: true },
    async (progress, token) => {
      const stop = new AbortController();
      const subscription = token.onCancellationRequested(() => stop.abort());
      let shown = 0;
      const onProgress = (event: ProgressEvent): void => {
        weft.log.info(logLine(event));
        onEvent?.(event);
        const percent = event.total === 0 ? 100 : (100 * event.completed) / event.total;
        progress.report({ message: message(event), increment: Math.max(0, percent - shown) });
        shown = Math.max(shown, percent);
      };
      try {
        return await work({ onProgress, signal: AbortSignal.any([stop.signal, session.signal]) });
      } finally {
        subscription.dispose();
      }
    },
  );
}

function message({ subject, detail, state, completed, total }: ProgressEvent): string {
  const step = `${completed} of ${total}: ${subject}`;
  return state === "waiting" && detail !== undefined ? `${step}, ${detail}` : step;
}

function logLine({ subject, state, detail, completed, total }: ProgressEvent): string {
  return `  [${completed}/${total}] ${subject}: ${state}${detail === undefined ? "" : ` (${detail})`}`;
}
