/** One pod on this node, from its network to its end: what a kubelet's pod worker does. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hasStatus } from "../../kube/errors.ts";
import { resource } from "../../kube/resources.ts";
import type { SandboxApi } from "../seam.ts";
import type { AddressPool } from "./address-range.ts";
import { ContainerRunner } from "./container-runner.ts";
import { type Network, namespacePath } from "./network.ts";
import { type ClusterAddresses, PodContext } from "./pod-context.ts";
import { podStatus } from "./pod-status.ts";
import { type Container, type ContainerStatus, isSidecar, type Pod } from "./pod-types.ts";
import { PodVolumes } from "./volumes.ts";

export interface NodeParts {
  readonly api: SandboxApi;
  readonly network: Network;
  readonly cluster: ClusterAddresses;
  /** The node the pod is bound to. */
  readonly node: string;
  readonly pool: AddressPool;
  readonly hostAddress: string;
  /** Folders of pods are made in it. */
  readonly folder: string;
  readonly log: (line: string) => void;
}

const DEFAULT_GRACE_SECONDS = 30;
/** Between looks for what a pod lacks; the kubelet's own pauses grow to minutes. */
const WAIT_MS = 500;
/** What a volume is made of is compared this often; tokens are renewed by it, logs trimmed. Changes of objects come at once. */
const REFRESH_MS = 60_000;

export class PodWorker {
  readonly uid: string;
  readonly #parts: NodeParts;
  readonly #folder: string;
  readonly #volumes: PodVolumes;
  readonly #stopping = new AbortController();
  readonly #startTime = now();
  readonly #ended = Promise.withResolvers<void>();
  #pod: Pod;
  #context: PodContext | undefined;
  #podAddress: string | undefined;
  /** Taken from the node's pool, to be given back. */
  #ownAddress: string | undefined;
  #initRunners: ContainerRunner[] = [];
  #appRunners: ContainerRunner[] = [];
  #running: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #over = false;
  /** The sandbox itself ends: nothing is told any more. */
  #silent = false;
  #telling = false;
  #refresh: NodeJS.Timeout | undefined;

  constructor(pod: Pod, parts: NodeParts) {
    this.#pod = pod;
    this.uid = pod.metadata.uid;
    this.#parts = parts;
    this.#folder = join(parts.folder, pod.metadata.uid);
    this.#volumes = new PodVolumes(join(this.#folder, "volumes"), pod.metadata.namespace, parts.api);
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Of a container by its name; undefined before the pod has got so far. */
  runner(container: string): ContainerRunner | undefined {
    return [...this.#initRunners, ...this.#appRunners].find((runner) => runner.container.name === container);
  }

  get networkNamespace(): string | undefined {
    return this.#context?.networkNamespace;
  }

  start(): void {
    this.#running = this.#main().catch((error: unknown) => {
      if (this.#stopping.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#parts.log(`pod ${this.#pod.metadata.namespace}/${this.#pod.metadata.name}: ${message}`);
      this.#event("Warning", "FailedSync", `error syncing pod: ${message}`);
    });
  }

  /** The pod's object has changed. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (this.#context !== undefined) this.#context.pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) {
      const grace = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds;
      void this.end(grace ?? DEFAULT_GRACE_SECONDS);
    } else {
      this.refreshVolumes();
    }
  }

  /** Resolves when nothing of it is left on this node. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Something that a volume shows may have changed. */
  refreshVolumes(): void {
    if (this.#context === undefined || this.#stopping.signal.aborted) return;
    // A ConfigMap that was removed leaves its files as they are, as in the kubelet.
    this.#volumes.write(this.#pod).catch((error: Error) => this.#event("Warning", "FailedMount", error.message));
  }

  /** Ends the pod in good order and tells the API that it is gone. Once it has begun, another call changes nothing. */
  end(graceSeconds: number): Promise<void> {
    this.#ending ??= this.#end(graceSeconds);
    return this.#ending;
  }

  /** Ends everything at once and tells nobody: the sandbox goes down. */
  async kill(): Promise<void> {
    this.#silent = true;
    this.#stopping.abort();
    clearInterval(this.#refresh);
    for (const runner of this.#runners) runner.kill();
    await this.#running;
    await Promise.all(this.#runners.map((runner) => runner.finished));
  }

  async #main(): Promise<void> {
    this.#tell();
    const context = await this.#prepare();
    if (context === undefined || this.#stopping.signal.aborted) return;
    this.#context = context;
    this.#makeRunners(context);
    this.#refresh = setInterval(() => {
      this.refreshVolumes();
      for (const { log, run } of this.#runners) log.trim(run).catch((error: Error) => this.#parts.log(error.message));
    }, REFRESH_MS).unref();
    this.#tell();
    const initialized = await this.#initialize();
    if (initialized) await Promise.all(this.#appRunners.map((runner) => runner.begin()));
    if (!this.#stopping.signal.aborted) await this.#complete();
  }

  /** Volumes, then address and network. Undefined when the pod was ended meanwhile. */
  async #prepare(): Promise<PodContext | undefined> {
    const { api, cluster, hostAddress } = this.#parts;
    await mkdir(this.#folder, { recursive: true });
    if (!(await this.#mountVolumes())) return undefined;
    const namespace = await this.#attach();
    return new PodContext(this.#pod, {
      api,
      folder: this.#folder,
      volumes: this.#volumes,
      place: { podAddress: this.#podAddress ?? hostAddress, hostAddress },
      networkNamespace: namespacePath(namespace),
      cluster,
    });
  }

  /** @returns name of the network namespace */
  async #attach(): Promise<string> {
    const { network, node, pool, hostAddress } = this.#parts;
    if (this.#pod.spec.hostNetwork) {
      this.#podAddress = hostAddress;
      return network.nodeNamespace(node);
    }
    this.#ownAddress = pool.take();
    this.#podAddress = this.#ownAddress;
    return network.attachPod(this.uid, this.#ownAddress);
  }

  /** Waits for what is missing. False when the pod was ended meanwhile. */
  async #mountVolumes(): Promise<boolean> {
    let tellAt = 0;
    let tellPause = WAIT_MS;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#volumes.write(this.#pod);
        return true;
      } catch (error) {
        if (performance.now() >= tellAt) {
          this.#event("Warning", "FailedMount", error instanceof Error ? error.message : String(error));
          tellPause *= 2;
          tellAt = performance.now() + tellPause;
        }
        await sleep(WAIT_MS, undefined, { signal: this.#stopping.signal }).catch(() => {});
      }
    }
    return false;
  }

  #makeRunners(context: PodContext): void {
    const changed = (): void => this.#tell();
    const { initContainers = [], containers } = this.#pod.spec;
    this.#initRunners = initContainers.map(
      (container) =>
        new ContainerRunner(container, isSidecar(container) ? "sidecar" : "init", context, this.#waitsFor, changed),
    );
    this.#appRunners = containers.map(
      (container) => new ContainerRunner(container, "app", context, this.#waitsFor, changed),
    );
  }

  /** Init containers in their order. False where the pod has failed or was ended. */
  async #initialize(): Promise<boolean> {
    for (const runner of this.#initRunners) {
      const run = runner.begin();
      await (runner.role === "sidecar" ? runner.startedOnce : run);
      if (this.#stopping.signal.aborted) return false;
      if (runner.role === "init" && runner.status.state.terminated?.exitCode !== 0) return false;
    }
    return true;
  }

  /** All applications are done for good: sidecars end, the network goes, status and logs stay. */
  async #complete(): Promise<void> {
    await this.#stopRunners(this.#pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS);
    await this.#close();
    this.#tell();
  }

  async #end(graceSeconds: number): Promise<void> {
    const { namespace, name } = this.#pod.metadata;
    try {
      this.#stopping.abort();
      await this.#stopRunners(graceSeconds);
      await this.#running;
      await this.#close();
      this.#tellNow();
      await rm(this.#folder, { recursive: true, force: true });
    } catch (error) {
      this.#parts.log(`pod ${namespace}/${name}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      if (!this.#silent) this.#parts.api.finishPod(namespace, name, this.uid);
      this.#ended.resolve();
    }
  }

  /** Applications first, then sidecars, the last one first; all within the time (KEP-753). */
  async #stopRunners(graceSeconds: number): Promise<void> {
    const sidecars = this.#initRunners.filter(({ role }) => role === "sidecar");
    const others = this.#runners.filter(({ role }) => role !== "sidecar");
    let turn: Promise<unknown> = Promise.all(others.map((runner) => runner.stop(graceSeconds)));
    for (const sidecar of sidecars.toReversed()) {
      turn = Promise.all([turn, sidecar.stop(graceSeconds, turn)]);
    }
    await turn;
  }

  async #close(): Promise<void> {
    clearInterval(this.#refresh);
    this.#over = true;
    if (this.#ownAddress === undefined) return;
    await this.#parts.network.detachPod(this.uid);
    this.#parts.pool.release(this.#ownAddress);
    this.#ownAddress = undefined;
  }

  /** Tells the pod's status once what happens now is over: several changes of one moment are one. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => this.#tellNow());
  }

  #tellNow(): void {
    this.#telling = false;
    if (this.#silent) return;
    const { name, namespace } = this.#pod.metadata;
    const { initContainers = [], containers } = this.#pod.spec;
    const statusOf = (container: Container): ContainerStatus =>
      this.runner(container.name)?.status ?? notCreated(container, this.#waitsFor);
    const observed = {
      hostAddress: this.#parts.hostAddress,
      ...(this.#podAddress === undefined ? {} : { podAddress: this.#podAddress }),
      startTime: this.#startTime,
      initContainers: initContainers.map(statusOf),
      containers: containers.map(statusOf),
      over: this.#over,
    };
    try {
      this.#parts.api.update<Pod>(
        resource.pods,
        name,
        namespace,
        (copy) => {
          if (copy.metadata.uid === this.uid) copy.status = podStatus(copy, observed, now());
        },
        "status",
      );
    } catch (error) {
      if (!hasStatus(error, 404)) throw error;
    }
  }

  get #waitsFor(): string {
    return (this.#pod.spec.initContainers ?? []).length > 0 ? "PodInitializing" : "ContainerCreating";
  }

  get #runners(): ContainerRunner[] {
    return [...this.#initRunners, ...this.#appRunners];
  }

  #event(type: "Normal" | "Warning", reason: string, message: string): void {
    if (!this.#silent) this.#parts.api.event(this.#pod, type, reason, message);
  }
}

function notCreated(container: Container, reason: string): ContainerStatus {
  const image = container.image ?? "";
  return {
    name: container.name,
    state: { waiting: { reason } },
    lastState: {},
    ready: false,
    started: false,
    restartCount: 0,
    image,
    imageID: "",
  };
}

/** Times of the API have whole seconds. */
const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, "Z");
