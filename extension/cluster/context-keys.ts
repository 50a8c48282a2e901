/** Context keys that `when` clauses read, set only when they change. */
import { commands } from "vscode";
import { contextKey } from "../contributions.ts";
import { type ClusterState, situationOf } from "./state.ts";

const known = new Map<string, unknown>();

function setKey(key: string, value: unknown): void {
  if (known.get(key) === value) return;
  known.set(key, value);
  void commands.executeCommand("setContext", key, value);
}

export function publishState(state: ClusterState): void {
  setKey(contextKey.situation, situationOf(state));
  setKey(contextKey.hasCandidate, state.kind === "none" && state.candidate !== undefined);
}
