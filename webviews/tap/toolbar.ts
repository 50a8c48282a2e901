/** What one can do with a tap: filter, pause, clear, stop; and what it is a tap of. */
import type { TapStatus, TapTarget } from "../../extension/panels/tap-messages.ts";
import { element, setAttribute, setText } from "../shared/dom.ts";

export interface ToolbarHooks {
  readonly onFilter: (text: string) => void;
  readonly onPause: () => void;
  readonly onClear: () => void;
  readonly onStartStop: () => void;
  readonly onCopyCommand: () => void;
  readonly onExport: () => void;
}

const FILTER_HELP =
  "Words that must all match: text, status:5xx, method:POST, path:/api, from:load, to:store, tls:no, latency>100; -word must not match";

export class Toolbar {
  readonly root: HTMLElement;
  readonly filter = element("input", {
    type: "search",
    class: "filter",
    placeholder: "Filter: status:5xx  latency>100  path:/api  -health",
    "aria-label": FILTER_HELP,
    title: FILTER_HELP,
    spellcheck: "false",
  });
  readonly #title = element("h1");
  readonly #state = element("span", { class: "state" });
  readonly #context = element("span", { class: "muted" });
  readonly #pause: HTMLButtonElement;
  readonly #startStop: HTMLButtonElement;

  constructor(hooks: ToolbarHooks) {
    this.#pause = button("Pause", hooks.onPause, "Hold the list still; requests go on being collected");
    this.#startStop = button("Stop", hooks.onStartStop);
    this.filter.addEventListener("input", () => hooks.onFilter(this.filter.value));
    this.root = element(
      "header",
      { class: "toolbar" },
      element("div", { class: "what" }, this.#state, this.#title, this.#context),
      element(
        "div",
        { class: "controls", role: "toolbar", "aria-label": "Tap" },
        this.filter,
        this.#pause,
        button("Clear", hooks.onClear, "Forget all requests shown so far"),
        this.#startStop,
        button("Copy Command", hooks.onCopyCommand, "The same tap in the terminal"),
        button("Export", hooks.onExport, "The requests shown, as JSON in a new editor"),
      ),
    );
  }

  describe(target: TapTarget): void {
    setText(this.#title, target.title);
    setText(
      this.#context,
      `context ${target.context} · at most ${target.maxRps} requests/s · newest ${target.capacity} kept`,
    );
  }

  show(status: TapStatus, paused: boolean, held: number): void {
    const running = status.kind === "live" || status.kind === "connecting";
    setText(this.#state, paused && running ? "Paused" : WORDS[status.kind]);
    setAttribute(this.#state, "data-kind", paused && running ? "paused" : status.kind);
    setText(this.#startStop, running ? "Stop" : "Start");
    this.#startStop.classList.toggle("primary", !running);
    setText(this.#pause, paused ? (held === 0 ? "Resume" : `Resume (${held} new)`) : "Pause");
    setAttribute(this.#pause, "aria-pressed", paused ? "true" : "false");
  }
}

const WORDS: Readonly<Record<TapStatus["kind"], string>> = {
  stopped: "Stopped",
  connecting: "Connecting",
  live: "Live",
  failed: "Failed",
};

function button(label: string, onClick: () => void, title = label): HTMLButtonElement {
  const made = element("button", { type: "button", title }, label);
  made.addEventListener("click", onClick);
  return made;
}
