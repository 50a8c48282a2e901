/** Colours rows in poor health, with a badge for those who do not see the colour. */
import { type Disposable, FileDecoration, ThemeColor, type Uri, window } from "vscode";
import { HEALTH_SCHEME } from "./rows-view.ts";

export function registerHealthDecorations(): Disposable {
  return window.registerFileDecorationProvider({
    provideFileDecoration({ scheme, query }: Uri): FileDecoration | undefined {
      if (scheme !== HEALTH_SCHEME) return undefined;
      return query === "poor"
        ? new FileDecoration("!!", "Success rate below 90 %", new ThemeColor("list.errorForeground"))
        : new FileDecoration("!", "Success rate below 95 %", new ThemeColor("list.warningForeground"));
    },
  });
}
