/**
 * What the proxy itself answers: every cause with its status, whether the connection closes, and its name in metrics (reference 5.9).
 * docs/proxy-errors.md tells people of each; a test holds the two to each other.
 */

import type { HeaderList } from "./request-head.ts";
import type { StreamError } from "./route-rule.ts";

/** Why a request gets an answer of the proxy's own. */
export type Cause =
  | "malformed"
  | "head-too-large"
  | "no-route"
  | "unauthorized"
  | "rate-limited"
  | "gateway-domain"
  | "injected"
  | "redirected"
  | "timeout"
  | "identity-required"
  | "failfast"
  | "load-shed"
  | "refused"
  | "broken"
  | "bad-answer"
  | "connect-timeout"
  | "loop"
  | "unexpected";

export interface Treatment {
  /** Of causes that a policy gives a status to: where it gives none. */
  readonly status: number;
  /** The client's connection ends with this answer. */
  readonly close: boolean;
  /** Label `error` of {inbound,outbound}_http_errors_total; absent: counted elsewhere, or no error of the proxy's. */
  readonly error?: string;
  /** Label `error` of the route's metrics; absent: its status says it. */
  readonly stream?: StreamError;
}

export const TREATMENTS: Readonly<Record<Cause, Treatment>> = {
  malformed: { status: 400, close: true },
  "head-too-large": { status: 431, close: true },
  "no-route": { status: 404, close: false },
  unauthorized: { status: 403, close: false },
  "rate-limited": { status: 429, close: false },
  "gateway-domain": { status: 404, close: false, error: "gateway domain invalid" },
  injected: { status: 500, close: false },
  redirected: { status: 302, close: false },
  timeout: { status: 504, close: false, error: "response timeout" },
  "identity-required": { status: 502, close: true, error: "identity required", stream: "UNKNOWN" },
  failfast: { status: 504, close: true, error: "failfast", stream: "FAIL_FAST" },
  "load-shed": { status: 503, close: true, error: "loadshed", stream: "LOAD_SHED" },
  refused: { status: 502, close: true, error: "i/o", stream: "IO" },
  broken: { status: 502, close: true, error: "i/o", stream: "IO" },
  "bad-answer": { status: 502, close: true, error: "unexpected", stream: "UNKNOWN" },
  "connect-timeout": { status: 504, close: true, error: "i/o", stream: "IO" },
  loop: { status: 508, close: true, error: "gateway loop", stream: "UNKNOWN" },
  unexpected: { status: 500, close: true, error: "unexpected", stream: "UNKNOWN" },
};

/** gRPC codes by HTTP status (reference 5.9): errors of gRPC requests travel in headers. */
const GRPC_CODES: Readonly<Record<number, number>> = {
  301: 5,
  302: 5,
  303: 5,
  307: 5,
  308: 5,
  400: 13,
  403: 7,
  404: 5,
  429: 8,
  431: 8,
  500: 13,
  502: 14,
  503: 14,
  504: 4,
  508: 10,
};

export interface RefusalOptions {
  readonly undelivered?: boolean;
  readonly status?: number;
  readonly grpcStatus?: number;
  readonly lines?: HeaderList;
  readonly close?: boolean;
}

const NO_LINES: HeaderList = [];

/** A request that the proxy answers itself. */
export class Refusal {
  readonly cause: Cause;
  /** For people: l5d-proxy-error. */
  readonly message: string;
  readonly status: number;
  readonly close: boolean;
  readonly error: string | undefined;
  readonly streamError: StreamError;
  /** No byte of the request reached an application: the peer's proxy may send it elsewhere. */
  readonly undelivered: boolean;
  /** For gRPC requests, where the status does not say it. */
  readonly grpcStatus: number | undefined;
  /** Further fields of the answer, names in lower case. */
  readonly lines: HeaderList;

  constructor(cause: Cause, message: string, options: RefusalOptions = {}) {
    const { status, close, error, stream } = TREATMENTS[cause];
    this.cause = cause;
    this.message = message;
    this.status = options.status ?? status;
    this.close = options.close ?? close;
    this.error = error;
    this.streamError = stream ?? "";
    this.undelivered = options.undelivered ?? false;
    this.grpcStatus = options.grpcStatus;
    this.lines = options.lines ?? NO_LINES;
  }
}

/** To whom an answer goes, and how much it may be told. */
export interface Audience {
  /** A proxy of the mesh: it is told whether the request may be sent again, and to close its client's connection. */
  readonly meshed: boolean;
  /** l5d-proxy-error is for applications behind the outbound side, and for meshed peers. */
  readonly informed: boolean;
}

/** What gRPC requests are told instead of the status. */
export function grpcCode({ grpcStatus, status }: Refusal): number {
  return grpcStatus ?? GRPC_CODES[status] ?? 2;
}

/** As a field's value may be. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ");
}
