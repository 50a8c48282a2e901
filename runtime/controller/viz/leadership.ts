/** Which replica scrapes: the one whose pod the Lease names. The controller process beside this one renews it. */
import { startInformer } from "../../kube/informer.ts";
import { resource } from "../../kube/resources.ts";
import type { Informer, KubeClient, KubeObject } from "../../kube/types.ts";
import { CONTROLLER_LEASE } from "../../model/control-plane-rbac.ts";
import type { Log } from "../config/log.ts";

interface Lease extends KubeObject {
  spec?: { holderIdentity?: string };
}

export class Leadership {
  /** Name of the pod that holds the Lease; undefined: nobody. */
  holder: string | undefined;

  readonly synced: Promise<void>;
  readonly #informer: Informer<Lease>;
  readonly #listeners = new Set<() => void>();

  constructor(client: KubeClient, namespace: string, log: Log) {
    this.#informer = startInformer<Lease>(client, resource.leases, {
      namespace,
      fieldSelector: `metadata.name=${CONTROLLER_LEASE}`,
      onError: (error) => log.warn("the Lease cannot be watched", { reason: error.message }),
    });
    this.synced = this.#informer.synced;
    this.#informer.subscribe(({ type, object }) => {
      const holder = type === "deleted" ? "" : (object.spec?.holderIdentity ?? "");
      const next = holder === "" ? undefined : holder;
      if (next === this.holder) return;
      this.holder = next;
      for (const listener of this.#listeners) listener();
    });
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#informer.stop();
    this.#listeners.clear();
  }
}
