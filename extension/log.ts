/** What happens, in the output channel "Weft". */
import { type LogOutputChannel, window } from "vscode";

export type Log = Pick<LogOutputChannel, "trace" | "debug" | "info" | "warn" | "error" | "show" | "dispose">;

export function createLog(): Log {
  return window.createOutputChannel("Weft", { log: true });
}
