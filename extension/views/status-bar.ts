/** One item: the context that figures come from, and how the mesh is. Hidden before a cluster is chosen. */
import { type Disposable, StatusBarAlignment, type StatusBarItem, ThemeColor, window } from "vscode";
import type { ClusterConnection } from "../cluster/connection.ts";
import { type ClusterState, contextOf, situationOf } from "../cluster/state.ts";
import { command } from "../contributions.ts";

export class StatusBar implements Disposable {
  readonly #item: StatusBarItem;
  readonly #subscription: Disposable;

  constructor(connection: ClusterConnection) {
    this.#item = window.createStatusBarItem("weft.status", StatusBarAlignment.Left, 0);
    this.#item.name = "Weft";
    this.#item.command = command.showMenu;
    this.#subscription = connection.onDidChange((state) => this.#show(state));
    this.#show(connection.state);
  }

  #show(state: ClusterState): void {
    const context = contextOf(state);
    if (context === undefined) {
      this.#item.hide();
      return;
    }
    const { icon, words, bad } = look(state);
    this.#item.text = `$(${icon}) ${context === "" ? "Weft" : context}`;
    this.#item.tooltip = `Weft: ${words}`;
    this.#item.accessibilityInformation = { label: `Weft, context ${context}: ${words}` };
    this.#item.backgroundColor = bad ? new ThemeColor("statusBarItem.warningBackground") : undefined;
    this.#item.show();
  }

  dispose(): void {
    this.#subscription.dispose();
    this.#item.dispose();
  }
}

function look(state: ClusterState): { icon: string; words: string; bad?: boolean } {
  switch (situationOf(state)) {
    case "connecting":
      return { icon: "sync~spin", words: "connecting" };
    case "ready":
      return { icon: "pulse", words: "the mesh is running" };
    case "not-ready": {
      const reason = state.kind === "connected" && state.mesh.kind === "installed" ? state.mesh.reason : undefined;
      return { icon: "warning", words: `the mesh is not ready${reason === undefined ? "" : `: ${reason}`}`, bad: true };
    }
    case "no-mesh":
      return { icon: "circle-large-outline", words: "connected; no mesh is installed" };
    case "other-mesh":
      return { icon: "circle-large-outline", words: "connected; another mesh is installed" };
    case "no-rights":
      return { icon: "lock", words: "your rights do not suffice", bad: true };
    default: {
      const why = state.kind === "failed" ? state.failure.message : "";
      return { icon: "debug-disconnect", words: `not connected. ${why}`, bad: true };
    }
  }
}
