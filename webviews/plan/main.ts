/** The plan's page: every object that will be touched, and while it is applied how far it has come. */
import type {
  PlanOutcome,
  PlanRow,
  PlanState,
  PlanStep,
  ToPlanHost,
  ToPlanView,
} from "../../extension/panels/plan-messages.ts";
import { element, setAttribute, setText } from "../shared/dom.ts";
import { connectHost } from "../shared/host.ts";

const host = connectHost<ToPlanHost, ToPlanView, never>();
const app = document.getElementById("app") as HTMLElement;
/** By subject: the installer's part of an object and the controller's are two rows. */
const marks = new Map<string, HTMLElement[]>();
let otherSteps: HTMLElement | undefined;
let outcomeLine: HTMLElement | undefined;

const GROUPS: readonly (readonly [PlanRow["action"], string, string])[] = [
  ["create", "To create", "+"],
  ["update", "To change", "~"],
  ["delete", "To delete", "−"],
  ["in-cluster", "Made by the controller, in the cluster", "*"],
  ["unchanged", "Left as they are", "="],
];

const STATE_WORDS: Readonly<Record<PlanStep["state"], string>> = {
  started: "applying",
  waiting: "waiting",
  done: "done",
  failed: "failed",
};

function render(state: PlanState): void {
  marks.clear();
  outcomeLine = element("p", { class: "outcome", role: "status" });
  otherSteps = element("ul", { class: "steps" });
  const counts = GROUPS.flatMap(([action, title]) => {
    const count = state.rows.filter((row) => row.action === action).length;
    return count === 0
      ? []
      : [element("li", {}, element("b", {}, String(count)), ` ${title.charAt(0).toLowerCase()}${title.slice(1)}`)];
  });
  app.replaceChildren(
    element(
      "header",
      {},
      element("h1", {}, state.title),
      element("p", { class: "context" }, "Context ", element("b", {}, state.context)),
      outcomeLine,
    ),
    element("ul", { class: "counts" }, ...counts),
    ...state.notes.map((note) => element("p", { class: "note" }, note)),
    otherSteps,
    ...GROUPS.flatMap(([action, title, sign]) =>
      group(
        title,
        sign,
        state.rows.filter((row) => row.action === action),
      ),
    ),
  );
  update(state.steps, state.outcome);
}

function group(title: string, sign: string, rows: readonly PlanRow[]): HTMLElement[] {
  if (rows.length === 0) return [];
  const list = element("div", { class: "group", role: "list" });
  for (const row of rows) list.append(line(row, sign));
  return [element("section", {}, element("h2", {}, `${title} (${rows.length})`), list)];
}

function line(row: PlanRow, sign: string): HTMLElement {
  const mark = element("span", { class: `mark ${row.action}`, "aria-hidden": "true" }, sign);
  if (row.action !== "in-cluster" && row.action !== "unchanged")
    marks.set(row.subject, [...(marks.get(row.subject) ?? []), mark]);
  const name = row.namespace === undefined ? row.name : `${row.namespace}/${row.name}`;
  const head = [
    mark,
    element("span", { class: "kind" }, row.kind),
    element("span", { class: "name" }, name),
    element("span", { class: "detail" }, row.detail ?? ""),
  ];
  if (row.text === undefined) return element("div", { class: "line", role: "listitem" }, ...head);
  return element(
    "details",
    { class: "line", role: "listitem" },
    element("summary", {}, ...head),
    element("pre", {}, row.text),
  );
}

function update(steps: readonly PlanStep[], outcome: PlanOutcome): void {
  const others: PlanStep[] = [];
  for (const step of steps) {
    const found = marks.get(step.subject);
    if (found === undefined) others.push(step);
    for (const mark of found ?? []) {
      setAttribute(mark, "data-state", step.state);
      setAttribute(mark, "title", [STATE_WORDS[step.state], step.detail].filter(Boolean).join(": "));
    }
  }
  otherSteps?.replaceChildren(...others.map((step) => element("li", { "data-state": step.state }, stepText(step))));
  if (outcomeLine === undefined) return;
  setText(outcomeLine, outcomeText(outcome));
  setAttribute(outcomeLine, "data-kind", outcome.kind);
}

/** The mark before it says that it is done. */
function stepText({ subject, state, detail }: PlanStep): string {
  const words = [state === "done" ? "" : STATE_WORDS[state], detail ?? ""].filter(Boolean).join(": ");
  return words === "" ? subject : `${subject} (${words})`;
}

function outcomeText(outcome: PlanOutcome): string {
  switch (outcome.kind) {
    case "asking":
      return "Nothing has been changed yet.";
    case "applying":
      return "Under way…";
    case "done":
      return "Done.";
    case "failed":
      return ["Failed.", outcome.message, outcome.hint].filter(Boolean).join(" ");
  }
}

host.listen((message) => {
  if (message.type === "init") render(message.state);
  else update(message.steps, message.outcome);
});
host.send({ type: "ready" });
