/** Set Window: over which time figures are taken. */
import { ConfigurationTarget, window, workspace } from "vscode";
import { formatDuration } from "../../runtime/model/duration.ts";
import { readConfig } from "../config.ts";
import { SETTINGS_SECTION, setting } from "../contributions.ts";

const WINDOWS = ["10s", "30s", "1m", "5m", "10m", "30m", "1h"];

export async function setWindow(): Promise<void> {
  const current = formatDuration(readConfig().windowMs);
  const items = WINDOWS.map((label) => ({ label, description: label === current ? "now" : "" }));
  const chosen = await window.showQuickPick(items, {
    title: "Set Window",
    placeHolder: "Figures are taken over the last…",
  });
  if (chosen === undefined) return;
  const target = workspace.workspaceFolders === undefined ? ConfigurationTarget.Global : ConfigurationTarget.Workspace;
  await workspace.getConfiguration(SETTINGS_SECTION).update(setting.window, chosen.label, target);
}
