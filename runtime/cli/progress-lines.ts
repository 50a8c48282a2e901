/** Progress as lines: written over where the terminal can, one a finished step elsewhere. */
import type { ProgressEvent } from "../mesh/types.ts";
import type { Terminal } from "./terminal.ts";

/** Elsewhere a step that waits says why at most as often, and only what is new. */
const WAITING_EVERY_MS = 5_000;

export class ProgressLines {
  readonly #terminal: Terminal;
  #open = false;
  #said = "";
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  readonly report = (event: ProgressEvent): void => {
    const { subject, state, detail, completed, total } = event;
    const text = detail === undefined ? subject : `${subject}: ${detail}`;
    const counter = `[${String(state === "done" ? completed : completed + 1).padStart(String(total).length)}/${total}]`;
    if (state === "done") this.#line(`${this.#terminal.style("green", "√")} ${counter} ${text}`);
    else if (state === "failed") this.#line(`${this.#terminal.style("red", "×")} ${counter} ${subject}`);
    else if (this.#terminal.live) this.#overwrite(`… ${counter} ${text}`);
    else if (state === "waiting") this.#sayNow(`… ${counter} ${text}`);
  };

  /** Leaves a line that was still to be written over. */
  end(): void {
    if (this.#open) this.#terminal.write("\r\x1b[2K");
    this.#open = false;
  }

  #sayNow(text: string): void {
    if (text === this.#said || performance.now() - this.#saidAt < WAITING_EVERY_MS) return;
    this.#said = text;
    this.#saidAt = performance.now();
    this.#line(text);
  }

  #line(text: string): void {
    this.end();
    this.#terminal.print(text);
  }

  #overwrite(text: string): void {
    const oneLine = text.replaceAll(/\s+/g, " ");
    const width = Math.max(20, this.#terminal.columns - 1);
    this.#terminal.write(`\r\x1b[2K${oneLine.length > width ? `${oneLine.slice(0, width - 1)}…` : oneLine}`);
    this.#open = true;
  }
}
