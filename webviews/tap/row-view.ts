/** One request as a row of cells. */
import type { TapRow } from "../../extension/panels/tap-messages.ts";
import { element, setAttribute, setText } from "../shared/dom.ts";
import { isFailure } from "./row-store.ts";

export const COLUMNS = ["Time", "From", "To", "Method", "Path", "Status", "Latency", "mTLS"] as const;

export function createRow(): HTMLElement {
  const cells = COLUMNS.map((name) => element("span", { class: `cell ${name.toLowerCase()}`, role: "gridcell" }));
  return element("div", { class: "row" }, ...cells);
}

export function createHeader(): HTMLElement {
  const cells = COLUMNS.map((name) =>
    element("span", { class: `cell ${name.toLowerCase()}`, role: "columnheader" }, name),
  );
  return element("div", { class: "row header", role: "row" }, ...cells);
}

export function fillRow(row: HTMLElement, item: TapRow): void {
  const meshed = item.tls === "true";
  const texts = [
    formatTime(item.time),
    item.source,
    item.destination,
    item.method,
    item.path,
    statusText(item),
    item.latencyMs === undefined ? "–" : formatLatency(item.latencyMs),
    meshed ? "yes" : "no",
  ];
  for (const [index, cell] of [...row.children].entries()) {
    const text = texts[index] ?? "";
    setText(cell as HTMLElement, text);
    // What does not fit is read in the tooltip.
    setAttribute(cell as HTMLElement, "title", index === 7 ? tlsWords(item.tls) : text);
  }
  row.classList.toggle("failed", isFailure(item));
  row.classList.toggle("client-error", item.status !== undefined && item.status >= 400 && item.status < 500);
  row.classList.toggle("plain", !meshed);
}

export function statusText({ status, grpcStatus }: TapRow): string {
  if (status === undefined) return "broken";
  return grpcStatus === undefined ? String(status) : `${status}/${grpcStatus}`;
}

export function tlsWords(tls: string): string {
  return tls === "true" ? "mutual TLS, both identities verified" : `not by mTLS: ${tls.replaceAll("_", " ")}`;
}

function formatTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const clock = date.toTimeString().slice(0, 8);
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

export function formatLatency(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
