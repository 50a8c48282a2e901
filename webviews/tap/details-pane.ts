/** All that is known of one request: both ends with their identities, timings, headers. */
import type { TapPeer, TapRecord } from "../../runtime/mesh/types.ts";
import { element } from "../shared/dom.ts";
import { formatLatency, tlsWords } from "./row-view.ts";

/** What proxies put in the place of a sensitive value. */
const REDACTED = "[redacted]";

export interface DetailsHooks {
  readonly onClose: () => void;
  readonly onCopy: (text: string) => void;
}

export class DetailsPane {
  readonly root = element("aside", { class: "details", "aria-label": "Request details", hidden: true });
  readonly #hooks: DetailsHooks;

  constructor(hooks: DetailsHooks) {
    this.#hooks = hooks;
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.root.hidden) hooks.onClose();
    });
  }

  show(record: TapRecord): void {
    const close = element("button", { type: "button", class: "quiet", "aria-label": "Close details" }, "Close");
    close.addEventListener("click", () => this.#hooks.onClose());
    const copy = element("button", { type: "button", class: "quiet" }, "Copy as JSON");
    copy.addEventListener("click", () => this.#hooks.onCopy(JSON.stringify(record, undefined, 2)));
    this.root.replaceChildren(
      element(
        "div",
        { class: "details-head" },
        element("h2", {}, `${record.method} ${record.path}`),
        element("span", { class: "buttons" }, copy, close),
      ),
      section("Exchange", generalOf(record)),
      section("From", peerOf(record.source, record.tls)),
      section("To", peerOf(record.destination, record.tls)),
      headers("Request headers", record.requestHeaders),
      headers("Response headers", record.responseHeaders),
    );
    this.root.hidden = false;
  }

  hide(): void {
    this.root.hidden = true;
    this.root.replaceChildren();
  }
}

type Pairs = readonly (readonly [string, string])[];

function generalOf(record: TapRecord): Pairs {
  const { status, grpcStatus, resetCode, latencyMs, durationMs, responseBytes } = record;
  return [
    ["Time", record.time],
    ["Seen by", record.direction === "inbound" ? "the destination's proxy" : "the source's proxy"],
    ["Authority", record.authority],
    ["Scheme", record.scheme],
    ["Status", status === undefined ? "the exchange broke off" : String(status)],
    ...(grpcStatus === undefined ? [] : [["gRPC status", String(grpcStatus)] as const]),
    ...(resetCode === undefined ? [] : [["Reset", String(resetCode)] as const]),
    ...(latencyMs === undefined ? [] : [["Latency", formatLatency(latencyMs)] as const]),
    ...(durationMs === undefined ? [] : [["Until the end", formatLatency(durationMs)] as const]),
    ...(responseBytes === undefined ? [] : [["Response body", `${responseBytes} bytes`] as const]),
    ["mTLS", tlsWords(record.tls)],
  ];
}

function peerOf({ address, pod, workload, namespace, identity }: TapPeer, tls: string): Pairs {
  return [
    ["Address", address],
    ...(pod === undefined ? [] : [["Pod", pod] as const]),
    ...(workload === undefined ? [] : [["Workload", workload] as const]),
    ...(namespace === undefined ? [] : [["Namespace", namespace] as const]),
    // A proxy names the other end's identity, not its own.
    ["Identity", identity ?? (tls === "true" ? "its own: this event names the other end's" : "none shown")],
  ];
}

function section(title: string, pairs: Pairs, className = ""): HTMLElement {
  const list = element("dl", { class: className });
  for (const [name, value] of pairs) {
    const redacted = value === REDACTED;
    list.append(
      element("dt", {}, name),
      redacted
        ? element(
            "dd",
            { class: "redacted", title: "Hidden by the proxy: the value never left the pod" },
            "redacted by the proxy",
          )
        : element("dd", {}, value),
    );
  }
  return element("section", {}, element("h3", {}, title), list);
}

function headers(title: string, list: Pairs | undefined): HTMLElement {
  if (list === undefined || list.length === 0)
    return element("section", {}, element("h3", {}, title), element("p", { class: "muted" }, "none seen"));
  return section(`${title} (${list.length})`, list, "headers");
}
