/** Which cluster: connects when the user asks, knows the state, ends a session with everything that hangs on it. */
import { type Disposable, EventEmitter, type Memento } from "vscode";
import { KubeConnectionError } from "../../runtime/kube/errors.ts";
import type { Kubeconfig } from "../../runtime/kube/kubeconfig.ts";
import { readConfig } from "../config.ts";
import { type Explanation, explain, oneText } from "../errors/explain.ts";
import { NeedsClusterError } from "../errors/needs-cluster.ts";
import type { Log } from "../log.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import type { Session } from "./session.ts";
import type { ClusterState } from "./state.ts";

const LAST_CONTEXT = "weft.lastContext";

export class ClusterConnection implements Disposable {
  readonly #log: Log;
  readonly #memory: Memento;
  readonly #changed = new EventEmitter<ClusterState>();
  #state: ClusterState = { kind: "none" };
  #sessions = 0;
  #ending: (() => void) | undefined;

  readonly onDidChange = this.#changed.event;

  constructor(log: Log, memory: Memento) {
    this.#log = log;
    this.#memory = memory;
  }

  get state(): ClusterState {
    return this.#state;
  }

  get session(): Session | undefined {
    return this.#state.kind === "connected" ? this.#state.session : undefined;
  }

  /** Reads the kubeconfig, contacts nothing: what *Connect* would take. */
  async findCandidate(): Promise<void> {
    if (this.#state.kind !== "none") return;
    let state: ClusterState;
    try {
      const candidate = this.#candidateOf(await readKubeconfig());
      state = { kind: "none", ...(candidate === undefined ? {} : { candidate }) };
    } catch (error) {
      state = { kind: "none", problem: explain(error) };
    }
    if (this.#state.kind === "none") this.#set(state);
  }

  #candidateOf(kubeconfig: Kubeconfig): string | undefined {
    const last = this.#memory.get<string>(LAST_CONTEXT);
    const wanted = last !== undefined && kubeconfig.contexts.has(last) ? last : kubeconfig.currentContext;
    return wanted !== undefined && kubeconfig.contexts.has(wanted) ? wanted : undefined;
  }

  /**
   * Ends the session there is and opens one to `context`, by default the one used last in this workspace, or kubectl's
   * current one. A failure becomes the state, and is thrown for whoever asked.
   */
  async connect(context?: string, why = "the user asked"): Promise<void> {
    this.#end();
    const ending = new AbortController();
    this.#ending = () => ending.abort();
    const id = ++this.#sessions;
    this.#set({ kind: "connecting", context: context ?? "" });
    let name = context ?? "";
    try {
      const [kubeconfig, { createKubeClient, detectMesh, kubeconfigTransport, resolveContext }] = await Promise.all([
        readKubeconfig(),
        import("./client-libraries.ts"),
      ]);
      if (ending.signal.aborted) return;
      const resolved = resolveContext(kubeconfig, context ?? this.#candidateOf(kubeconfig));
      name = resolved.name;
      this.#set({ kind: "connecting", context: name });
      this.#log.info(`connecting to ${resolved.cluster.server} by context "${name}", because ${why}`);
      const transport = kubeconfigTransport(resolved, {
        exec: {
          extraPath: readConfig().extraPath,
          onOutput: (text) => this.#log.info(`credential plugin: ${text.trimEnd()}`),
        },
      });
      ending.signal.addEventListener("abort", () => transport.close(), { once: true });
      const client = createKubeClient(transport);
      const mesh = await detectMesh(client, readConfig().controlPlaneNamespace);
      if (ending.signal.aborted) return;
      this.#log.info(`connected to "${name}"; mesh: ${JSON.stringify(mesh)}`);
      await this.#memory.update(LAST_CONTEXT, name);
      if (ending.signal.aborted) return;
      this.#set({ kind: "connected", session: { id, context: resolved, client, signal: ending.signal }, mesh });
    } catch (error) {
      if (ending.signal.aborted) return;
      ending.abort();
      const failure = explain(error);
      this.#log.error(`connecting to "${name}": ${oneText(failure)}`);
      this.#set({ kind: "failed", context: name, failure });
      throw error;
    }
  }

  /** @throws NeedsClusterError where none is chosen, or the chosen one cannot be had */
  requireSession(): Session {
    if (this.session === undefined) throw new NeedsClusterError();
    return this.session;
  }

  /**
   * Looks again: the mesh of the session there is, or the connection that failed.
   * @param patient keeps the session while its server does not answer: somebody else tries again
   */
  async refresh(patient = false): Promise<void> {
    const before = this.#state;
    if (before.kind === "failed") return await this.connect(before.context === "" ? undefined : before.context);
    if (before.kind === "none") return await this.findCandidate();
    if (before.kind !== "connected") return;
    const { session } = before;
    try {
      const { detectMesh } = await import("./client-libraries.ts");
      const mesh = await detectMesh(session.client, readConfig().controlPlaneNamespace);
      if (this.session === session) this.#set({ kind: "connected", session, mesh });
    } catch (error) {
      if (this.session !== session || (patient && error instanceof KubeConnectionError)) return;
      this.#log.error(`looking for the mesh: ${oneText(explain(error))}`);
      this.#end();
      this.#set({ kind: "failed", context: session.context.name, failure: explain(error) });
    }
  }

  /** The mesh is there, but `session`'s user may see none of its figures. */
  deny(session: Session, denied: Explanation): void {
    const { state } = this;
    if (state.kind === "connected" && state.session === session) this.#set({ ...state, denied });
  }

  disconnect(): void {
    const before = this.#state;
    this.#end();
    if (before.kind !== "none") this.#log.info("disconnected");
    this.#set({ kind: "none" });
    void this.findCandidate();
  }

  dispose(): void {
    this.#end();
    this.#changed.dispose();
  }

  #end(): void {
    this.#ending?.();
    this.#ending = undefined;
  }

  #set(state: ClusterState): void {
    this.#state = state;
    this.#changed.fire(state);
  }
}
