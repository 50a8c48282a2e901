/** What one may do now: behind the status bar item. */
import { commands, type QuickPickItem, window } from "vscode";
import { contextOf, situationOf } from "../cluster/state.ts";
import type { Weft } from "../container.ts";
import { type CommandId, command } from "../contributions.ts";

interface MenuItem extends QuickPickItem {
  readonly command: CommandId;
}

export async function showMenu(weft: Weft): Promise<void> {
  const { state } = weft.connection;
  const chosen = await window.showQuickPick(itemsFor(situationOf(state)), {
    title: `Weft: ${contextOf(state) ?? "no cluster"}`,
  });
  if (chosen !== undefined) await commands.executeCommand(chosen.command);
}

function itemsFor(situation: ReturnType<typeof situationOf>): MenuItem[] {
  const choose: MenuItem = { label: "$(server-environment) Choose Cluster", command: command.chooseCluster };
  const log: MenuItem = { label: "$(output) Show Log", command: command.showLog };
  const end: MenuItem = { label: "$(debug-disconnect) Disconnect", command: command.disconnect };
  switch (situation) {
    case "ready":
    case "not-ready":
      return [
        { label: "$(checklist) Run Checks", command: command.runChecks },
        { label: "$(add) Inject", description: "a namespace or a workload", command: command.inject },
        { label: "$(record) Tap", description: "live requests", command: command.tap },
        { label: "$(history) Set Window", command: command.setWindow },
        { label: "$(beaker) Install Demo", command: command.installDemo },
        choose,
        end,
        log,
      ];
    case "no-mesh":
      return [{ label: "$(cloud-download) Install Mesh", command: command.installMesh }, choose, end, log];
    case "no-cluster":
      return [choose, log];
    default:
      return [{ label: "$(refresh) Try Again", command: command.refresh }, choose, end, log];
  }
}
