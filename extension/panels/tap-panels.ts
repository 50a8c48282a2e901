/** The tap panels that are open: one a target. */
import type { Disposable } from "vscode";
import type { Log } from "../log.ts";
import type { TapPanel, TapPanelOptions } from "./tap-panel.ts";

export class TapPanels implements Disposable {
  readonly #log: Log;
  readonly #open = new Map<string, TapPanel>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Opens one and starts it; one that is there already comes to the front. */
  async open(options: Omit<TapPanelOptions, "log" | "onClosed">): Promise<void> {
    const { session, query } = options;
    const key = `${session.id}/${query.kind}/${query.namespace}/${query.name}`;
    const { TapPanel } = await import("./tap-panel.ts");
    const known = this.#open.get(key);
    if (known !== undefined) {
      known.reveal();
      known.start();
      return;
    }
    const panel = new TapPanel({ ...options, log: this.#log, onClosed: () => this.#open.delete(key) });
    this.#open.set(key, panel);
    panel.start();
  }

  dispose(): void {
    for (const panel of [...this.#open.values()]) panel.dispose();
  }
}
