/** What the tap panel and its host say to each other. Types only: both sides import it. */
import type { TapRecord } from "../../runtime/mesh/types.ts";

/** A row without its headers: those are asked for when somebody opens it. */
export interface TapRow {
  /** Counts up within one panel. */
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly source: string;
  readonly destination: string;
  readonly method: string;
  readonly path: string;
  readonly status?: number;
  readonly grpcStatus?: number;
  readonly latencyMs?: number;
  /** `true`, or why not. */
  readonly tls: string;
}

export interface TapTarget {
  /** `service gateway in weft-demo` */
  readonly title: string;
  readonly context: string;
  /** The same in the terminal. */
  readonly commandLine: string;
  readonly maxRps: number;
  /** As many rows are kept. */
  readonly capacity: number;
}

export type TapStatus =
  | { readonly kind: "stopped"; readonly message?: string }
  | { readonly kind: "connecting" }
  /** `notice` is about the tap itself: requests that were dropped, a pod that cannot be tapped. */
  | { readonly kind: "live"; readonly notice?: string }
  | { readonly kind: "failed"; readonly message: string; readonly hint?: string };

export interface TapDetails {
  readonly seq: number;
  readonly record: TapRecord;
}

export type ToTapView =
  | { readonly type: "init"; readonly target: TapTarget; readonly status: TapStatus; readonly rows: readonly TapRow[] }
  | { readonly type: "status"; readonly status: TapStatus }
  | { readonly type: "rows"; readonly rows: readonly TapRow[] }
  | ({ readonly type: "details" } & TapDetails);

export type ToTapHost =
  | { readonly type: "ready" }
  | { readonly type: "start" }
  | { readonly type: "stop" }
  | { readonly type: "clear" }
  | { readonly type: "details"; readonly seq: number }
  | { readonly type: "copy"; readonly text: string }
  | { readonly type: "export"; readonly seqs: readonly number[] };
