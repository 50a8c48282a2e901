/** The tap panel's page. Its host holds the rows; the page shows them, filters, pauses. */
import type { TapRow, TapStatus, TapTarget, ToTapHost, ToTapView } from "../../extension/panels/tap-messages.ts";
import { element, setText } from "../shared/dom.ts";
import { connectHost } from "../shared/host.ts";
import { DetailsPane } from "./details-pane.ts";
import { isFailure, RowStore } from "./row-store.ts";
import { COLUMNS, createHeader, createRow, fillRow } from "./row-view.ts";
import { Toolbar } from "./toolbar.ts";
import { VirtualList } from "./virtual-list.ts";

interface PageState {
  readonly filter: string;
}

const ROW_HEIGHT = 22;
/** As often at most does a screen reader hear how many there are. */
const ANNOUNCE_MS = 5_000;

const host = connectHost<ToTapHost, ToTapView, PageState>();
const store = new RowStore(5_000);
let target: TapTarget | undefined;
let status: TapStatus = { kind: "stopped" };

const toolbar = new Toolbar({
  onFilter(text) {
    store.filter(text);
    host.save({ filter: text });
    show();
  },
  onPause() {
    store.pause(!store.paused);
    show();
  },
  onClear() {
    store.clear();
    host.send({ type: "clear" });
    closeDetails();
    list.setActive(undefined);
    list.follow();
    show();
  },
  onStartStop: () => host.send({ type: status.kind === "live" || status.kind === "connecting" ? "stop" : "start" }),
  onCopyCommand: () => host.send({ type: "copy", text: target?.commandLine ?? "" }),
  onExport: () => host.send({ type: "export", seqs: store.shown.map(({ seq }) => seq) }),
});

const list = new VirtualList<TapRow>({
  label: "Live requests",
  rowHeight: ROW_HEIGHT,
  columns: COLUMNS.length,
  keyOf: ({ seq }) => seq,
  create: createRow,
  fill: fillRow,
  onActivate: ({ seq }) => host.send({ type: "details", seq }),
  onMove: ({ seq }) => {
    if (!details.root.hidden) host.send({ type: "details", seq });
  },
  onMoreBelow: (more) => {
    jump.hidden = !more;
  },
});

const details = new DetailsPane({
  onClose() {
    closeDetails();
    list.root.focus();
  },
  onCopy: (text) => host.send({ type: "copy", text }),
});

const jump = element("button", { type: "button", class: "jump", hidden: true }, "Newest ↓");
jump.addEventListener("click", () => list.follow());
const message = element("div", { class: "message", role: "status" });
const summary = element("span");
const spoken = element("span", { class: "visually-hidden", role: "status", "aria-live": "polite" });

document
  .getElementById("app")
  ?.append(
    toolbar.root,
    element("main", {}, element("div", { class: "table" }, createHeader(), list.root, message, jump), details.root),
    element("footer", {}, summary, spoken),
  );

function show(): void {
  list.setItems(store.shown, store.takeDropped());
  toolbar.show(status, store.paused, store.held);
  const failed = store.shown.reduce((count, row) => count + Number(isFailure(row)), 0);
  const notice = status.kind === "live" && status.notice !== undefined ? ` · ${status.notice}` : "";
  setText(summary, `${summaryText(store.shown.length, store.size, failed)}${notice}`);
  setText(message, messageText());
}

function summaryText(shown: number, all: number, failed: number): string {
  const counted = shown === all ? `${all} requests` : `${shown} of ${all} requests pass the filter`;
  return `${counted} · ${failed} failed`;
}

function messageText(): string {
  if (status.kind === "failed") return [status.message, status.hint].filter(Boolean).join(" ");
  if (status.kind === "stopped" && status.message !== undefined) return status.message;
  if (store.shown.length > 0) return "";
  if (store.size > 0) return "No request passes the filter.";
  return status.kind === "stopped" ? "Start shows live requests as they pass." : "Waiting for requests…";
}

function closeDetails(): void {
  details.hide();
}

setInterval(() => {
  if (status.kind === "live" && !store.paused) setText(spoken, summary.textContent ?? "");
}, ANNOUNCE_MS);

host.listen((incoming) => {
  switch (incoming.type) {
    case "init":
      ({ target, status } = incoming);
      toolbar.describe(target);
      store.reset(target.capacity, incoming.rows);
      break;
    case "status":
      status = incoming.status;
      break;
    case "rows":
      store.add(incoming.rows);
      break;
    case "details":
      details.show(incoming.record);
      list.setActive(incoming.seq);
      return;
  }
  show();
});

if (host.state !== undefined) {
  toolbar.filter.value = host.state.filter;
  store.filter(host.state.filter);
}
host.send({ type: "ready" });
