/** Builds what the extension consists of, and ends it. Nothing here loads a client library or contacts a cluster. */
import { type Disposable, type ExtensionContext, Uri, workspace } from "vscode";
import { ClusterConnection } from "./cluster/connection.ts";
import { publishState } from "./cluster/context-keys.ts";
import { configuredFiles } from "./cluster/kubeconfig.ts";
import { KubeconfigWatch } from "./cluster/kubeconfig-watch.ts";
import { MeshPoll } from "./cluster/mesh-poll.ts";
import { SETTINGS_SECTION, setting } from "./contributions.ts";
import { createLog, type Log } from "./log.ts";
import { TapPanels } from "./panels/tap-panels.ts";
import { ChecksView } from "./views/checks-view.ts";
import { registerHealthDecorations } from "./views/health-decorations.ts";
import type { RowSubject } from "./views/row.ts";
import { ServicesView } from "./views/services-view.ts";
import { StatusBar } from "./views/status-bar.ts";
import { WorkloadsView } from "./views/workloads-view.ts";

export interface Weft extends Disposable {
  readonly log: Log;
  readonly connection: ClusterConnection;
  readonly services: ServicesView;
  readonly workloads: WorkloadsView;
  readonly checks: ChecksView;
  readonly taps: TapPanels;
  /** What a command was called on: a tree's row by its id, or a subject as it stands; undefined: nothing. */
  subjectOf(argument: unknown): RowSubject | undefined;
}

export function createWeft(context: ExtensionContext): Weft {
  const media = Uri.joinPath(context.extensionUri, "media");
  const log = createLog();
  const connection = new ClusterConnection(log, context.workspaceState);
  const services = new ServicesView(connection, log, media);
  const workloads = new WorkloadsView(connection, log, media);
  const checks = new ChecksView(connection, log, media);
  const taps = new TapPanels(log);
  const views = [services, workloads, checks];
  const watch = new KubeconfigWatch(() => void connection.findCandidate());
  const followKubeconfig = async (): Promise<void> => {
    await connection.findCandidate();
    watch.follow(await configuredFiles());
  };
  const parts: readonly Disposable[] = [
    connection.onDidChange(publishState),
    ...views,
    taps,
    new StatusBar(connection),
    registerHealthDecorations(),
    new MeshPoll(connection, () => views.some(({ rows }) => rows.tree.visible)),
    workspace.onDidChangeConfiguration(({ affectsConfiguration }) => {
      const changed = (...names: string[]): boolean =>
        names.some((name) => affectsConfiguration(`${SETTINGS_SECTION}.${name}`));
      if (changed(setting.kubeconfig)) void followKubeconfig();
      if (!changed(setting.window, setting.namespaces)) return;
      services.restart();
      workloads.restart();
    }),
    watch,
    connection,
    log,
  ];
  publishState(connection.state);
  void followKubeconfig();
  return {
    log,
    connection,
    services,
    workloads,
    checks,
    taps,
    subjectOf(argument) {
      if (typeof argument === "string") return views.map(({ rows }) => rows.row(argument)?.subject).find(Boolean);
      return isSubject(argument) ? argument : undefined;
    },
    dispose: () => {
      for (const part of parts) part.dispose();
    },
  };
}

function isSubject(value: unknown): value is RowSubject {
  if (typeof value !== "object" || value === null) return false;
  const { kind, namespace, name } = value as Partial<Record<string, unknown>>;
  return typeof kind === "string" && typeof namespace === "string" && typeof name === "string";
}
