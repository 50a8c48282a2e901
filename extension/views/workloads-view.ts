/** Workloads: what is meshed and what could be, while the view is to be seen. */
import type { Disposable, Uri } from "vscode";
import type { StatResource } from "../../runtime/model/statistics.ts";
import type { ClusterConnection } from "../cluster/connection.ts";
import type { Session } from "../cluster/session.ts";
import { readConfig } from "../config.ts";
import { view } from "../contributions.ts";
import { oneText } from "../errors/explain.ts";
import { feedStats } from "../live/feeds.ts";
import type { Figures } from "../live/stat-feed.ts";
import type { Log } from "../log.ts";
import { RowsView } from "./rows-view.ts";
import { workloadRows } from "./workload-rows.ts";

const KINDS: readonly StatResource[] = ["deployments", "statefulsets", "daemonsets"];

export class WorkloadsView implements Disposable {
  readonly rows: RowsView;
  readonly #connection: ClusterConnection;
  readonly #log: Log;
  readonly #subscriptions: readonly Disposable[];
  /** Whose rows these are; they stay while nobody looks. */
  #shownFor: Session | undefined;
  #following: { readonly session: Session; readonly stop: AbortController } | undefined;

  constructor(connection: ClusterConnection, log: Log, media: Uri) {
    this.#connection = connection;
    this.#log = log;
    this.rows = new RowsView(view.workloads, media);
    this.#subscriptions = [
      connection.onDidChange(() => this.#update()),
      this.rows.tree.onDidChangeVisibility(() => this.#update()),
      this.rows,
    ];
  }

  restart(): void {
    this.#stop();
    this.#update();
  }

  #update(): void {
    const { state } = this.#connection;
    const live = state.kind === "connected" && state.mesh.kind === "installed" && state.denied === undefined;
    const session = live ? state.session : undefined;
    if (session !== this.#shownFor) this.rows.clear();
    this.#shownFor = session;
    if (session !== this.#following?.session) this.#stop();
    if (session === undefined) return;
    if (!this.rows.tree.visible) this.#stop();
    else if (this.#following === undefined) this.#follow(session);
  }

  #follow(session: Session): void {
    const stop = new AbortController();
    this.#following = { session, stop };
    session.signal.addEventListener("abort", () => stop.abort(), { once: true, signal: stop.signal });
    const { windowMs, namespaces } = readConfig();
    const known = new Map<StatResource, Figures>();
    for (const resource of KINDS) {
      const query = { resource, windowMs, namespaces, fallbackNamespace: session.context.namespace };
      void feedStats(session.client, query, stop.signal, {
        onFigures: (figures) => {
          if (stop.signal.aborted) return;
          known.set(resource, figures);
          this.rows.tree.message = "";
          const workloads = [...known.values()].flatMap(({ items }) => items);
          this.rows.setRows(workloadRows({ workloads, window: figures.window, source: figures.source }));
        },
        onProblem: (problem) => this.#tell(oneText(problem)),
        onDenied: (problem) => this.#tell(oneText(problem)),
      });
    }
  }

  #tell(problem: string): void {
    this.#log.warn(`workloads: ${problem}`);
    this.rows.tree.message = problem;
  }

  #stop(): void {
    this.#following?.stop.abort();
    this.#following = undefined;
    this.rows.tree.message = "";
  }

  dispose(): void {
    this.#stop();
    for (const subscription of this.#subscriptions) subscription.dispose();
  }
}
