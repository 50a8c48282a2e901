/** Looks for the mesh again while it is not there, or not ready, and somebody looks: an install may come from elsewhere. */
import type { Disposable } from "vscode";
import type { ClusterConnection } from "./connection.ts";
import { situationOf } from "./state.ts";

const PERIOD_MS = 5_000;

export class MeshPoll implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  /** @param somebodyLooks whether a view of ours is to be seen */
  constructor(connection: ClusterConnection, somebodyLooks: () => boolean) {
    this.#timer = setInterval(() => {
      const { state } = connection;
      if (this.#looking || state.kind !== "connected" || situationOf(state) === "ready" || !somebodyLooks()) return;
      this.#looking = true;
      void connection.refresh(true).finally(() => {
        this.#looking = false;
      });
    }, PERIOD_MS);
  }

  dispose(): void {
    clearInterval(this.#timer);
  }
}
