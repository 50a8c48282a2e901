/** Checks: run when asked, shown as they come. */
import { type Disposable, type Uri, window } from "vscode";
import type { CheckResult } from "../../runtime/mesh/types.ts";
import type { ClusterConnection } from "../cluster/connection.ts";
import type { Session } from "../cluster/session.ts";
import { readConfig } from "../config.ts";
import { view } from "../contributions.ts";
import type { Log } from "../log.ts";
import { checkRows, tally } from "./check-rows.ts";
import { RowsView } from "./rows-view.ts";

export class ChecksView implements Disposable {
  readonly rows: RowsView;
  readonly #log: Log;
  readonly #subscription: Disposable;
  #shownFor: Session | undefined;
  #running: AbortController | undefined;

  constructor(connection: ClusterConnection, log: Log, media: Uri) {
    this.#log = log;
    this.rows = new RowsView(view.checks, media);
    this.#subscription = connection.onDidChange(() => {
      if (connection.session !== this.#shownFor) this.#clear();
    });
  }

  /** @returns all results; a run that is under way is given up for the new one */
  async run(session: Session): Promise<readonly CheckResult[]> {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    this.#shownFor = session;
    const signal = AbortSignal.any([running.signal, session.signal]);
    const namespace = readConfig().controlPlaneNamespace;
    return await window.withProgress({ location: { viewId: view.checks } }, async () => {
      const { runChecks } = await import("../../runtime/mesh/check.ts");
      const results: CheckResult[] = [];
      for await (const result of runChecks(session.client, {
        signal,
        ...(namespace === undefined ? {} : { namespace }),
      })) {
        if (signal.aborted) break;
        results.push(result);
        this.#log.info(
          `check: ${result.result}: ${result.category}: ${result.description} ${result.message ?? ""}`.trimEnd(),
        );
        this.rows.setRows(checkRows(results));
        this.rows.tree.message = `Checking… ${tally(results)}`;
      }
      if (!signal.aborted)
        this.rows.tree.message = `${session.context.name}, ${new Date().toTimeString().slice(0, 8)}: ${tally(results)}`;
      return results;
    });
  }

  #clear(): void {
    this.#running?.abort();
    this.#shownFor = undefined;
    this.rows.tree.message = "";
    this.rows.clear();
  }

  dispose(): void {
    this.#running?.abort();
    this.#subscription.dispose();
    this.rows.dispose();
  }
}
