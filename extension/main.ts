/** Entry point. Everything is built by the container; commands are registered from their table. */
import { type ExtensionContext, ExtensionMode } from "vscode";
import { registerCommands } from "./commands/register.ts";
import { createWeft, type Weft } from "./container.ts";

/** Name of the measure that a test holds to the budget. */
const ACTIVATION_MEASURE = "weft.activate";

/** @returns what the extension consists of, for tests in the extension host only */
export function activate(context: ExtensionContext): Weft | undefined {
  const start = performance.now();
  const weft = createWeft(context);
  context.subscriptions.push(weft, ...registerCommands(weft, context));
  performance.measure(ACTIVATION_MEASURE, { start });
  return context.extensionMode === ExtensionMode.Test ? weft : undefined;
}

export function deactivate(): void {
  // The container is a subscription: VS Code ends it.
}
