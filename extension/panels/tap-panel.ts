/** Live requests of one target. Starts when asked, ends with its panel; the rows live here, the page shows them. */
import { env, type Uri, window, workspace } from "vscode";
import { tap } from "../../runtime/mesh/tap.ts";
import type { TapQuery } from "../../runtime/mesh/types.ts";
import type { Session } from "../cluster/session.ts";
import { webviewType } from "../contributions.ts";
import { explain } from "../errors/explain.ts";
import type { Log } from "../log.ts";
import { MessagePanel } from "./message-panel.ts";
import type { TapRow, TapStatus, TapTarget, ToTapHost, ToTapView } from "./tap-messages.ts";
import { TapBuffer, tapCommandLine } from "./tap-rows.ts";

/** Rows go to the page in batches: a message each would cost more than the rows. */
const BATCH_MS = 100;

export interface TapPanelOptions {
  readonly session: Session;
  readonly query: TapQuery;
  readonly capacity: number;
  readonly extensionUri: Uri;
  readonly log: Log;
  readonly onClosed: () => void;
}

export class TapPanel {
  readonly #options: TapPanelOptions;
  readonly #buffer: TapBuffer;
  readonly #target: TapTarget;
  readonly #page: MessagePanel<ToTapView, ToTapHost>;
  #status: TapStatus = { kind: "stopped" };
  #stream: AbortController | undefined;
  #batch: TapRow[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TapPanelOptions) {
    const { query, session } = options;
    this.#options = options;
    this.#buffer = new TapBuffer(options.capacity);
    const what = query.kind.slice(0, -1);
    const closed = new AbortController();
    this.#target = {
      title: query.kind === "namespaces" ? `namespace ${query.name}` : `${what} ${query.name} in ${query.namespace}`,
      context: session.context.name,
      commandLine: tapCommandLine(query),
      maxRps: query.maxRps,
      capacity: options.capacity,
    };
    this.#page = new MessagePanel({
      viewType: webviewType.tap,
      bundle: "tap",
      title: `Tap ${query.name}`,
      extensionUri: options.extensionUri,
      icon: "tap.svg",
      onReady: () => this.#greet(),
      onMessage: (message) => this.#onMessage(message),
      onClosed: () => {
        closed.abort();
        clearTimeout(this.#timer);
        this.stop();
        options.onClosed();
      },
    });
    const disconnected = (): void => this.#ended("The cluster was disconnected.");
    session.signal.addEventListener("abort", disconnected, { once: true, signal: closed.signal });
  }

  reveal(): void {
    this.#page.panel.reveal();
  }

  start(): void {
    if (this.#stream !== undefined || this.#options.session.signal.aborted) return;
    const stream = new AbortController();
    this.#stream = stream;
    void this.#run(stream.signal);
  }

  stop(message?: string): void {
    if (this.#stream === undefined) return;
    this.#stream.abort();
    this.#ended(message);
  }

  dispose(): void {
    this.#page.dispose();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { session, query, log } = this.#options;
    log.info(`tap: ${this.#target.title} on "${this.#target.context}", at most ${query.maxRps} requests a second`);
    this.#show({ kind: "connecting" });
    try {
      const until = AbortSignal.any([signal, session.signal]);
      const records = tap(session.client, { ...query, headers: true }, until, (notice) => {
        log.warn(`tap: ${notice}`);
        this.#show({ kind: "live", notice });
      });
      // The stream is open once it is asked for its first record; the first may take its time where nothing passes.
      const opened = setTimeout(() => this.#show({ kind: "live" }), 1_000);
      try {
        for await (const record of records) {
          if (signal.aborted) return;
          if (this.#status.kind !== "live") this.#show({ kind: "live" });
          this.#queue(this.#buffer.add(record));
        }
      } finally {
        clearTimeout(opened);
      }
      if (!signal.aborted) this.#ended("The controller ended the stream.");
    } catch (error) {
      if (signal.aborted) return;
      const { message, hint } = explain(error);
      log.error(`tap: ${message} ${hint ?? ""}`.trimEnd());
      this.#stream = undefined;
      this.#show({ kind: "failed", message, ...(hint === undefined ? {} : { hint }) });
    }
  }

  #ended(message: string | undefined): void {
    this.#stream?.abort();
    this.#stream = undefined;
    this.#show({ kind: "stopped", ...(message === undefined ? {} : { message }) });
  }

  #queue(row: TapRow): void {
    // A hidden page gets all rows at once when it is back.
    if (!this.#page.ready) return;
    this.#batch.push(row);
    this.#timer ??= setTimeout(() => void this.#flush(), BATCH_MS);
  }

  async #flush(): Promise<void> {
    const rows = this.#batch.slice(-this.#options.capacity);
    this.#batch = [];
    if (rows.length > 0) await this.#page.post({ type: "rows", rows });
    this.#timer = undefined;
    // What came meanwhile waits for the page to have taken the last batch: a slow one gets fewer, bigger ones.
    if (this.#batch.length > 0) this.#timer = setTimeout(() => void this.#flush(), BATCH_MS);
  }

  #show(status: TapStatus): void {
    this.#status = status;
    void this.#page.post({ type: "status", status });
  }

  #greet(): void {
    this.#batch = [];
    void this.#page.post({ type: "init", target: this.#target, status: this.#status, rows: this.#buffer.rows() });
  }

  #onMessage(message: ToTapHost): void {
    switch (message.type) {
      case "ready":
        return;
      case "start":
        this.start();
        return;
      case "stop":
        this.stop();
        return;
      case "clear":
        this.#buffer.clear();
        this.#batch = [];
        return;
      case "details": {
        const record = this.#buffer.get(message.seq);
        if (record !== undefined) void this.#page.post({ type: "details", seq: message.seq, record });
        return;
      }
      case "copy":
        void env.clipboard.writeText(message.text);
        return;
      case "export":
        void this.#export(message.seqs);
    }
  }

  async #export(seqs: readonly number[]): Promise<void> {
    const records = seqs.map((seq) => this.#buffer.get(seq)).filter((record) => record !== undefined);
    const document = await workspace.openTextDocument({
      language: "json",
      content: JSON.stringify(records, undefined, 2),
    });
    await window.showTextDocument(document);
  }
}
