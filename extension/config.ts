/** The settings, read when they are needed. */
import { workspace } from "vscode";
import { parseDuration } from "../runtime/model/duration.ts";
import { DEFAULT_WINDOW_MS, MAX_WINDOW_MS, MIN_WINDOW_MS } from "../runtime/model/statistics.ts";
import { SETTINGS_SECTION, setting } from "./contributions.ts";

export interface Config {
  /** Only this kubeconfig; undefined: kubectl's rules. */
  readonly kubeconfig: string | undefined;
  readonly extraPath: readonly string[];
  /** Empty: all that the user may see. */
  readonly namespaces: readonly string[];
  readonly windowMs: number;
  readonly controlPlaneNamespace: string | undefined;
  readonly nodeImage: string | undefined;
  readonly initImage: string | undefined;
  readonly tapMaxRps: number;
  readonly tapRows: number;
}

export function readConfig(): Config {
  const section = workspace.getConfiguration(SETTINGS_SECTION);
  const text = (name: string): string | undefined => section.get<string>(name)?.trim() || undefined;
  return {
    kubeconfig: expandHome(text(setting.kubeconfig)),
    extraPath: section.get<string[]>(setting.extraPath) ?? [],
    namespaces: (section.get<string[]>(setting.namespaces) ?? []).map((name) => name.trim()).filter(Boolean),
    windowMs: windowOf(text(setting.window)),
    controlPlaneNamespace: text(setting.controlPlaneNamespace),
    nodeImage: text(setting.nodeImage),
    initImage: text(setting.initImage),
    tapMaxRps: section.get<number>(setting.tapMaxRps) ?? 100,
    tapRows: section.get<number>(setting.tapRows) ?? 5_000,
  };
}

function windowOf(text: string | undefined): number {
  const parsed = text === undefined ? undefined : parseDuration(text);
  if (parsed === undefined) return DEFAULT_WINDOW_MS;
  return Math.min(Math.max(parsed, MIN_WINDOW_MS), MAX_WINDOW_MS);
}

/** Settings know no shell: `~/` and `${userHome}/` are what people write there. */
function expandHome(path: string | undefined): string | undefined {
  const home = process.env["HOME"] ?? process.env["USERPROFILE"];
  if (path === undefined || home === undefined) return path;
  return path.replace(/^(~|\$\{userHome\})(?=[/\\])/, home);
}
