/** How the hot path feeds tap. With nobody watching its whole cost is one read of `active`. */
import type { ExchangeEnd } from "../http/observer.ts";
import type { Labels } from "../metrics/series.ts";

/** A request as tap sees it when its head has passed. Strings are made only for a tapped request. */
export interface TapRequest {
  readonly direction: "inbound" | "outbound";
  readonly source: { readonly ip: string; readonly port: number };
  readonly destination: { readonly ip: string; readonly port: number };
  readonly sourceLabels: Labels;
  readonly destinationLabels: Labels;
  readonly routeLabels: Labels;
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly authority: string;
  /** Path with query. */
  readonly path: string;
  /** Lower-case names, in order. Sensitive values are redacted by the hub, before they leave the proxy. */
  headers(): readonly (readonly [name: string, value: string])[];
}

/** One tapped request in flight. */
export interface TapExchange {
  response(status: number, headers: () => readonly (readonly [name: string, value: string])[]): void;
  end(end: ExchangeEnd): void;
}

export interface TapHub {
  /** Whether anyone watches. */
  readonly active: boolean;
  /** undefined: no watcher matches. */
  open(request: TapRequest): TapExchange | undefined;
}
