/** Every command by its id. A command that fails says so once, with its next step. */
import { commands, type Disposable, type ExtensionContext } from "vscode";
import type { Weft } from "../container.ts";
import { type CommandId, command } from "../contributions.ts";
import { reportError } from "../errors/report.ts";
import { disconnect } from "./disconnect.ts";
import { refresh } from "./refresh.ts";

/** What a command gets: the container, where the extension lies, and VS Code's arguments (a tree item, for menus). */
export type CommandHandler = (weft: Weft, context: ExtensionContext, ...args: readonly unknown[]) => unknown;

interface CommandEntry {
  /** As the palette shows it. */
  readonly title: string;
  readonly run: CommandHandler;
}

/** A command's code is loaded when it is called first: activation loads none of it. */
function later(load: () => Promise<CommandHandler>): CommandHandler {
  return async (...args) => await (await load())(...args);
}

const table: Readonly<Record<CommandId, CommandEntry>> = {
  [command.connect]: { title: "Connect", run: ({ connection }) => connection.connect() },
  [command.chooseCluster]: {
    title: "Choose Cluster",
    run: later(async () => (await import("./choose-cluster.ts")).chooseCluster),
  },
  [command.disconnect]: { title: "Disconnect", run: disconnect },
  [command.installMesh]: {
    title: "Install Mesh",
    run: later(async () => (await import("./install-mesh.ts")).installMesh),
  },
  [command.uninstallMesh]: {
    title: "Uninstall Mesh",
    run: later(async () => (await import("./uninstall-mesh.ts")).uninstallMesh),
  },
  [command.inject]: { title: "Inject", run: later(async () => (await import("./inject.ts")).inject) },
  [command.uninject]: { title: "Uninject", run: later(async () => (await import("./uninject.ts")).uninject) },
  [command.tap]: { title: "Tap", run: later(async () => (await import("./tap.ts")).tapCommand) },
  [command.runChecks]: {
    title: "Run Checks",
    run: later(async () => (await import("./run-checks.ts")).runChecksCommand),
  },
  [command.installDemo]: {
    title: "Install Demo",
    run: later(async () => (await import("./install-demo.ts")).installDemo),
  },
  [command.removeDemo]: { title: "Remove Demo", run: later(async () => (await import("./remove-demo.ts")).removeDemo) },
  [command.refresh]: { title: "Refresh", run: refresh },
  [command.setWindow]: { title: "Set Window", run: later(async () => (await import("./set-window.ts")).setWindow) },
  [command.showMenu]: { title: "Weft", run: later(async () => (await import("./show-menu.ts")).showMenu) },
  [command.copyIdentity]: {
    title: "Copy Identity",
    run: later(async () => (await import("./copy-identity.ts")).copyIdentity),
  },
  [command.copyName]: { title: "Copy Name", run: later(async () => (await import("./copy-name.ts")).copyName) },
  [command.showKubeconfig]: {
    title: "Open Kubeconfig",
    run: later(async () => (await import("./show-kubeconfig.ts")).showKubeconfig),
  },
  [command.showLog]: { title: "Show Log", run: ({ log }) => log.show(true) },
};

export function registerCommands(weft: Weft, context: ExtensionContext): Disposable[] {
  return Object.entries(table).map(([id, { title, run }]) =>
    commands.registerCommand(id, async (...args: unknown[]) => {
      try {
        return await run(weft, context, ...args);
      } catch (error) {
        await reportError(weft.log, title, error);
        return undefined;
      }
    }),
  );
}
