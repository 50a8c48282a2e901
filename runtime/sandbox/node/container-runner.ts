/** One container of a pod through all its runs: start, probes, restarts, end. */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ContainerLog } from "./container-log.ts";
import { ContainerProcess, ContainerStartError, type ExitCode } from "./container-process.ts";
import { ConfigError } from "./environment.ts";
import { pullFailure } from "./image.ts";
import type { PodContext } from "./pod-context.ts";
import type { Container, ContainerState, ContainerStatus, LifecycleHandler, Probe } from "./pod-types.ts";
import { httpGet, type ProbeTarget } from "./probe.ts";
import { probeContainer } from "./prober.ts";
import { RestartBackoff } from "./restart-backoff.ts";

export type ContainerRole = "init" | "sidecar" | "app";

/** Between tries to start what lacks a ConfigMap or cannot be made. */
const RETRY_MS = 1_000;
const DEFAULT_GRACE_SECONDS = 30;
/** As the kubelet tells a program that could not be started. */
const START_ERROR: ExitCode = 128;
/** The kubelet gives every container this long, whatever was spent before (minimumGracePeriodInSeconds). */
const SHORTEST_GRACE_SECONDS = 2;

export class ContainerRunner {
  readonly container: Container;
  readonly role: ContainerRole;
  readonly log: ContainerLog;
  readonly #context: PodContext;
  readonly #changed: () => void;
  readonly #folder: string;
  readonly #stopping = new AbortController();
  readonly #backoff = new RestartBackoff();
  readonly #startedOnce = Promise.withResolvers<void>();
  #process: ContainerProcess | undefined;
  #done: Promise<void> | undefined;
  #probing = new AbortController();
  #state: ContainerState;
  #lastState: ContainerState = {};
  #run = -1;
  #ready = false;
  #started = false;
  #runId = "";

  /**
   * @param waitsFor reason before the first start
   * @param changed called whenever {@link status} differs from before
   */
  constructor(container: Container, role: ContainerRole, context: PodContext, waitsFor: string, changed: () => void) {
    this.container = container;
    this.role = role;
    this.#context = context;
    this.#changed = changed;
    this.#folder = join(context.folder, "containers", container.name);
    this.log = new ContainerLog(join(this.#folder, "logs"));
    this.#state = { waiting: { reason: waitsFor } };
  }

  /** Number of the present run, from 0; -1 before the first. */
  get run(): number {
    return this.#run;
  }

  /** Resolves when the present run's program has ended; at once where none runs. */
  get runEnded(): Promise<unknown> {
    return this.#process?.exited ?? Promise.resolve();
  }

  /** Resolves when it will run no more. */
  get finished(): Promise<void> {
    return this.#done ?? Promise.resolve();
  }

  /** Running, and its startup probe has succeeded, once. */
  get startedOnce(): Promise<void> {
    return this.#startedOnce.promise;
  }

  get status(): ContainerStatus {
    const image = this.container.image ?? "";
    return {
      name: this.container.name,
      state: this.#state,
      lastState: this.#lastState,
      ready: this.#ready,
      started: this.#started,
      restartCount: Math.max(0, this.#run),
      image,
      imageID: image,
      ...(this.#runId === "" ? {} : { containerID: this.#runId }),
    };
  }

  /** Runs it until it need not run again. @returns resolves then, or after {@link stop} */
  begin(): Promise<void> {
    this.#done ??= this.#loop().catch((error: unknown) => {
      this.#startedOnce.resolve();
      this.#context.event("Warning", "FailedSync", error instanceof Error ? error.message : String(error));
    });
    return this.#done;
  }

  /**
   * Ends it in good order: preStop, its turn, SIGTERM, at the end of the time SIGKILL.
   * @param turn what has to end before it is told to end (sidecars wait for applications)
   */
  async stop(graceSeconds: number, turn?: Promise<unknown>): Promise<void> {
    this.#stopping.abort();
    const deadline = performance.now() + graceSeconds * 1000;
    const left = (): number => Math.max(0, deadline - performance.now());
    const process = this.#process;
    if (process !== undefined) {
      const { preStop } = this.container.lifecycle ?? {};
      this.#context.event("Normal", "Killing", `Stopping container ${this.container.name}`);
      if (preStop !== undefined && left() > 0) await this.#hook(preStop, process, left(), "FailedPreStopHook");
      if (turn !== undefined) await orAfter(turn, left());
      await endProcess(process, graceSeconds === 0 ? 0 : Math.max(left(), SHORTEST_GRACE_SECONDS * 1000));
    }
    await this.finished;
  }

  /** Ends it at once. */
  kill(): void {
    this.#stopping.abort();
    this.#probing.abort();
    this.#process?.signal("SIGKILL");
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const process = await this.#start();
      if (process === undefined) continue;
      const failure = process instanceof ContainerStartError ? process.message : undefined;
      const code = process instanceof ContainerStartError ? START_ERROR : await this.#attend(process);
      await this.#tellExit(code, failure);
      if (signal.aborted || !this.#runsAgain(code)) break;
      await this.#pause(failure);
    }
    // Stopped before it ever ran: nobody needs to wait for it any longer.
    this.#startedOnce.resolve();
  }

  /** Undefined where something is missing that may come; then the pause before the next try is over. */
  async #start(): Promise<ContainerProcess | ContainerStartError | undefined> {
    const { container } = this;
    const context = this.#context;
    const run = this.#run + 1;
    const image = container.image ?? "";
    const unpullable = pullFailure(image);
    if (unpullable !== undefined) {
      await this.#waitForImage(image, unpullable);
      return undefined;
    }
    try {
      const root = join(this.#folder, `root-${run}`);
      await rm(join(this.#folder, `root-${this.#run}`), { recursive: true, force: true });
      const spec = await context.processSpec(container, root, await this.log.begin(run));
      if (this.#stopping.signal.aborted) return undefined;
      context.event("Normal", "Pulled", `Container image "${image}" already present on machine`);
      this.#run = run;
      this.#runId = `process://${context.pod.metadata.uid}/${container.name}/${run}`;
      const process = await ContainerProcess.start(spec);
      this.#process = process;
      if (this.#stopping.signal.aborted) process.signal("SIGKILL");
      context.event("Normal", "Created", `Created container: ${container.name}`);
      context.event("Normal", "Started", `Started container ${container.name}`);
      return process;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      context.event("Warning", "Failed", `Error: ${message}`);
      if (error instanceof ContainerStartError) return error;
      const reason = error instanceof ConfigError ? "CreateContainerConfigError" : "CreateContainerError";
      this.#set({ waiting: { reason, message } });
      await sleep(RETRY_MS, undefined, { signal: this.#stopping.signal }).catch(() => {});
      return undefined;
    }
  }

  /** Until it is stopped: the image will not come. */
  async #waitForImage(image: string, failure: string): Promise<void> {
    const { signal } = this.#stopping;
    this.#set({ waiting: { reason: "ErrImagePull", message: failure } });
    this.#context.event("Warning", "Failed", `Failed to pull image "${image}": ${failure}`);
    this.#context.event("Warning", "Failed", "Error: ErrImagePull");
    await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    const message = `Back-off pulling image "${image}"`;
    this.#set({ waiting: { reason: "ImagePullBackOff", message: `${message}: ErrImagePull: ${failure}` } });
    this.#context.event("Normal", "BackOff", message);
    await once(signal, "abort");
  }

  /** From running to exit, with probes and the postStart hook. */
  async #attend(process: ContainerProcess): Promise<ExitCode> {
    this.#probing = new AbortController();
    const { signal } = this.#probing;
    this.#set({ running: { startedAt: now() } });
    const { postStart } = this.container.lifecycle ?? {};
    const probes = async (): Promise<void> => {
      if (postStart !== undefined && !(await this.#hook(postStart, process, undefined, "FailedPostStartHook"))) {
        await endProcess(process, this.#graceSeconds * 1000);
        return;
      }
      // Nobody waits for a regular init container's readiness, only for its end.
      if (this.role === "init") this.#started = true;
      else await probeContainer(this.#target(process), this.#proberEvents(process), signal);
    };
    const probing = probes();
    const code = await process.exited;
    this.#probing.abort();
    this.#process = undefined;
    await probing;
    return code;
  }

  /** @param startFailure why its program never ran */
  async #tellExit(code: ExitCode, startFailure: string | undefined): Promise<void> {
    const failed = code !== 0;
    const fromLog = failed && this.container.terminationMessagePolicy === "FallbackToLogsOnError";
    const message = startFailure ?? (fromLog ? await this.log.tail(this.#run) : "");
    this.#started = false;
    this.#ready = this.role === "init" && !failed;
    this.#set({
      terminated: {
        exitCode: code,
        reason: startFailure !== undefined ? "StartError" : failed ? "Error" : "Completed",
        ...(message === "" ? {} : { message }),
        startedAt: this.#state.running?.startedAt ?? null,
        finishedAt: now(),
        containerID: this.#runId,
      },
    });
  }

  #runsAgain(code: ExitCode): boolean {
    if (this.role === "sidecar") return true;
    const policy = this.#context.pod.spec.restartPolicy ?? "Always";
    if (policy === "Never") return false;
    return code !== 0 || (policy === "Always" && this.role === "app");
  }

  async #pause(startFailure: string | undefined): Promise<void> {
    const { name } = this.container;
    const ms = this.#backoff.next(performance.now());
    if (startFailure !== undefined) this.#set({ waiting: { reason: "RunContainerError", message: startFailure } });
    if (ms === 0) return;
    const { metadata } = this.#context.pod;
    const pod = `${metadata.name}_${metadata.namespace}(${metadata.uid})`;
    this.#set({
      waiting: {
        reason: "CrashLoopBackOff",
        message: `back-off ${duration(ms)} restarting failed container=${name} pod=${pod}`,
      },
    });
    this.#context.event("Warning", "BackOff", `Back-off restarting failed container ${name} in pod ${pod}`);
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  #proberEvents(process: ContainerProcess) {
    const { name } = this.container;
    return {
      started: (): void => {
        this.#started = true;
        this.#startedOnce.resolve();
        this.#changed();
      },
      ready: (ready: boolean): void => {
        if (this.#ready === ready || this.#process !== process) return;
        this.#ready = ready;
        this.#changed();
      },
      failed: (message: string): void => this.#context.event("Warning", "Unhealthy", message),
      dead: (probe: Probe, message: string): void => {
        if (this.#stopping.signal.aborted) return;
        const kind = message.startsWith("Startup") ? "startup" : "liveness";
        const grace = probe.terminationGracePeriodSeconds ?? this.#graceSeconds;
        this.#context.event("Normal", "Killing", `Container ${name} failed ${kind} probe, will be restarted`);
        void endProcess(process, Math.max(grace, SHORTEST_GRACE_SECONDS) * 1000);
      },
    };
  }

  #target(process: ContainerProcess): ProbeTarget {
    return {
      container: this.container,
      podAddress: this.#context.place.podAddress,
      exec: (argv, signal) => process.exec(argv, signal),
    };
  }

  /** @returns whether it went well */
  async #hook(
    handler: LifecycleHandler,
    process: ContainerProcess,
    limitMs: number | undefined,
    failure: string,
  ): Promise<boolean> {
    const ended = new AbortController();
    void process.exited.then(() => ended.abort());
    const signal =
      limitMs === undefined ? ended.signal : AbortSignal.any([ended.signal, AbortSignal.timeout(Math.ceil(limitMs))]);
    try {
      if (handler.sleep) await sleep(handler.sleep.seconds * 1000, undefined, { signal });
      if (handler.exec) {
        const { code, output } = await process.exec(handler.exec.command ?? [], signal);
        if (code !== 0) throw new Error(`command ended with exit code ${code}: ${output.trim()}`);
      }
      if (handler.httpGet) {
        const { ok, output } = await httpGet(handler.httpGet, this.#target(process), signal);
        if (!ok) throw new Error(output);
      }
      return true;
    } catch (error) {
      if (ended.signal.aborted) return true;
      this.#context.event("Warning", failure, error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  get #graceSeconds(): number {
    return this.#context.pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  }

  #set(state: ContainerState): void {
    if (this.#state.terminated !== undefined) this.#lastState = { terminated: this.#state.terminated };
    this.#state = state;
    this.#changed();
  }
}

async function endProcess(process: ContainerProcess, graceMs: number): Promise<void> {
  if (graceMs > 0) {
    process.signal("SIGTERM");
    await orAfter(process.exited, graceMs);
  }
  process.signal("SIGKILL");
  await process.exited;
}

/** As Go writes it: 10s, 2m40s. */
function duration(ms: number): string {
  const seconds = ms / 1000;
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** Resolves with the promise, or after the time, and leaves no timer. */
async function orAfter(promise: Promise<unknown>, ms: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise, sleep(ms, undefined, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
}

/** Times of the API have whole seconds. */
const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, "Z");
