/** Tells when a kubeconfig changed. Tools write it by renaming another file over it, so folders are watched, not files. */
import { existsSync, type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Disposable } from "vscode";

const SETTLE_MS = 300;

export class KubeconfigWatch implements Disposable {
  readonly #onChange: () => void;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Watches these from now on, whether they are there yet or not. */
  follow(files: readonly string[]): void {
    this.#close();
    const byFolder = Map.groupBy(files, (file) => dirname(file));
    for (const [folder, inside] of byFolder) {
      if (!existsSync(folder)) continue;
      const names = new Set(inside.map((file) => basename(file)));
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        if (name === null || names.has(name)) this.#settle();
      });
      // A folder that goes away ends its watcher; the next Choose Cluster reads whatever is there then.
      watcher.on("error", () => watcher.close());
      this.#watchers.push(watcher);
    }
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onChange(), SETTLE_MS);
  }

  #close(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
    clearTimeout(this.#timer);
  }

  dispose(): void {
    this.#close();
  }
}
