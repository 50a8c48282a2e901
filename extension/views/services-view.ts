/** Services: follows the chosen cluster's mesh while the view is to be seen. */
import { type Disposable, type Uri, window } from "vscode";
import { formatDuration } from "../../runtime/model/duration.ts";
import type { ClusterConnection } from "../cluster/connection.ts";
import type { Session } from "../cluster/session.ts";
import { type ClusterState, contextOf, situationOf } from "../cluster/state.ts";
import { readConfig } from "../config.ts";
import { view } from "../contributions.ts";
import { oneText } from "../errors/explain.ts";
import { feedDetails, feedStats } from "../live/feeds.ts";
import type { Figures } from "../live/stat-feed.ts";
import type { Log } from "../log.ts";
import { sourceWords } from "./figures-tooltip.ts";
import type { RowSubject } from "./row.ts";
import { RowsView } from "./rows-view.ts";
import { failingServices, type NamespaceDetails, parseServiceId, serviceRows } from "./service-rows.ts";

/** Whoever looks away and back within this time finds the tree as it was. */
const GRACE_MS = 10_000;

interface Following {
  readonly session: Session;
  readonly stop: AbortController;
  readonly windowMs: number;
  readonly details: Map<string, { stop: AbortController; known: NamespaceDetails }>;
  figures?: Figures;
  problem?: string;
}

export class ServicesView implements Disposable {
  readonly rows: RowsView;
  readonly #connection: ClusterConnection;
  readonly #log: Log;
  readonly #subscriptions: readonly Disposable[];
  /** Ids of open services. */
  readonly #open = new Set<string>();
  #following: Following | undefined;
  #grace: NodeJS.Timeout | undefined;

  constructor(connection: ClusterConnection, log: Log, media: Uri) {
    this.#connection = connection;
    this.#log = log;
    this.rows = new RowsView(view.services, media);
    const { tree } = this.rows;
    this.#subscriptions = [
      connection.onDidChange((state) => this.#onState(state)),
      tree.onDidChangeVisibility(() => this.#onVisibility()),
      tree.onDidExpandElement(({ element }) => this.#onOpened(element)),
      tree.onDidCollapseElement(({ element }) => this.#onClosed(element)),
      this.rows,
    ];
    this.#onState(connection.state);
  }

  /** Takes up the window and the namespaces of the settings, and whatever had given up. */
  restart(): void {
    this.#stop();
    this.#onState(this.#connection.state);
  }

  /** What the tree shows, for choices elsewhere. */
  knownServices(): { readonly namespace: string; readonly services: readonly RowSubject[] }[] {
    const items = this.#following?.figures?.items ?? [];
    return [...Map.groupBy(items, ({ namespace }) => namespace)].map(([namespace, stats]) => ({
      namespace,
      services: stats.map(({ name }) => ({ kind: "Service", namespace, name })),
    }));
  }

  #onState(state: ClusterState): void {
    if (this.#following !== undefined && this.#following.session !== this.#connection.session) this.#stop();
    this.rows.tree.description = titleOf(state);
    this.#showMessage();
    if (state.kind === "connecting") this.#showConnecting();
    const live = state.kind === "connected" && state.mesh.kind === "installed" && state.denied === undefined;
    if (!live) this.#stop();
    else if (this.rows.tree.visible) this.#follow(state.session);
  }

  #showConnecting(): void {
    void window.withProgress(
      { location: { viewId: view.services } },
      () =>
        new Promise<void>((done) => {
          const subscription = this.#connection.onDidChange(({ kind }) => {
            if (kind === "connecting") return;
            subscription.dispose();
            done();
          });
        }),
    );
  }

  #onVisibility(): void {
    clearTimeout(this.#grace);
    if (this.rows.tree.visible) this.#onState(this.#connection.state);
    else this.#grace = setTimeout(() => this.#pause(), GRACE_MS);
  }

  /** Streams end; rows stay, for the time until somebody looks again. */
  #pause(): void {
    const following = this.#following;
    if (following === undefined) return;
    this.#end(following);
    this.#following = undefined;
    this.#log.debug("services: nobody looks; the streams have ended");
  }

  #follow(session: Session): void {
    const { windowMs, namespaces } = readConfig();
    const before = this.#following;
    if (before !== undefined && before.session === session) return;
    const following: Following = { session, stop: new AbortController(), windowMs, details: new Map() };
    this.#following = following;
    session.signal.addEventListener("abort", () => following.stop.abort(), {
      once: true,
      signal: following.stop.signal,
    });
    this.#log.info(`services: following ${namespaces.length === 0 ? "all namespaces" : namespaces.join(", ")}`);
    this.#showMessage();
    const query = { resource: "services", windowMs, namespaces, fallbackNamespace: session.context.namespace } as const;
    void feedStats(session.client, query, following.stop.signal, {
      onFigures: (figures) => {
        following.figures = figures;
        delete following.problem;
        this.#render(following);
      },
      onProblem: (problem) => {
        following.problem = oneText(problem);
        this.#log.warn(`services: ${following.problem}`);
        this.#showMessage();
        void this.#connection.refresh(true);
      },
      onDenied: (problem) => {
        this.#log.warn(`services: ${oneText(problem)}`);
        this.#connection.deny(session, problem);
      },
    });
    for (const id of this.#open) this.#followDetails(id);
  }

  #onOpened(id: string): void {
    if (parseServiceId(id) === undefined) return;
    this.#open.add(id);
    this.#followDetails(id);
  }

  #onClosed(id: string): void {
    const closed = parseServiceId(id);
    if (closed === undefined) return;
    this.#open.delete(id);
    const others = [...this.#open].some((open) => parseServiceId(open)?.namespace === closed.namespace);
    const following = this.#following;
    if (others || following === undefined) return;
    following.details.get(closed.namespace)?.stop.abort();
    following.details.delete(closed.namespace);
  }

  #followDetails(id: string): void {
    const following = this.#following;
    const namespace = parseServiceId(id)?.namespace;
    if (following === undefined || namespace === undefined || following.details.has(namespace)) return;
    const stop = new AbortController();
    following.details.set(namespace, { stop, known: {} });
    void feedDetails(following.session.client, { namespace, windowMs: following.windowMs }, stop.signal, (known) => {
      following.details.set(namespace, { stop, known });
      this.#render(following);
    });
  }

  #render(following: Following): void {
    if (this.#following !== following || following.figures === undefined) return;
    const { items, window, source } = following.figures;
    const details = new Map([...following.details].map(([namespace, { known }]) => [namespace, known]));
    this.rows.setRows(serviceRows({ services: items, window, source, details }));
    const failing = failingServices(items);
    this.rows.tree.badge =
      failing.length === 0
        ? undefined
        : { value: failing.length, tooltip: `Success rate below 90 %: ${failing.slice(0, 5).join(", ")}` };
    this.#showMessage();
  }

  /** Says what the figures are: no number without its window and its source. */
  #showMessage(): void {
    this.rows.tree.message = this.#message() ?? "";
  }

  #message(): string | undefined {
    const following = this.#following;
    const situation = situationOf(this.#connection.state);
    // Without figures a welcome view with its buttons says more; it shows only where there is no message.
    if (following === undefined || (following.figures === undefined && situation !== "ready")) return undefined;
    if (following.problem !== undefined) return following.problem;
    if (following.figures === undefined) return "Waiting for the first figures…";
    const { window, source, onlyNamespace } = following.figures;
    const only = onlyNamespace === undefined ? "" : `You may see namespace ${onlyNamespace} only. `;
    const { since } = source;
    return `${only}Success rate · requests/s · P50/P95/P99 latency: ${sourceWords(window, { ...source, asOf: since }).replace(/, newest.*/, "")}.`;
  }

  #stop(): void {
    clearTimeout(this.#grace);
    const following = this.#following;
    this.#following = undefined;
    if (following !== undefined) this.#end(following);
    this.rows.clear();
    this.rows.tree.badge = undefined;
    this.#showMessage();
  }

  #end(following: Following): void {
    following.stop.abort();
    for (const { stop } of following.details.values()) stop.abort();
  }

  dispose(): void {
    this.#stop();
    for (const subscription of this.#subscriptions) subscription.dispose();
  }
}

/** Beside the view's name: which context this is, and over which time figures are taken. */
function titleOf(state: ClusterState): string {
  const context = contextOf(state);
  switch (situationOf(state)) {
    case "no-cluster":
    case "no-kubeconfig":
      return context ?? (state.kind === "none" ? (state.candidate ?? "") : "");
    case "ready":
      return `${context} · last ${formatDuration(readConfig().windowMs)}`;
    case "not-ready":
      return `${context} · not ready`;
    default:
      return context ?? "";
  }
}
