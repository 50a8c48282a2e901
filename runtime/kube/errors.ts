/** What goes wrong between a client and an API server. */

/** The fields of `details` in a meta/v1 Status. */
export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly retryAfterSeconds?: number;
  readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
}

/** A meta/v1 Status, as far as it is read. */
export interface Status {
  readonly kind: "Status";
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: StatusDetails;
}

/** The API server's own refusal: an answer ≥ 400, or an ERROR event of a watch. */
export class KubeError extends Error {
  /** HTTP status code. */
  readonly status: number;
  /** Machine-readable, e.g. `NotFound`, `Conflict`, `Forbidden`, `Invalid`; empty where the server named none. */
  readonly reason: string;
  readonly details: StatusDetails;
  /** `GET /api/v1/pods`; empty for watch events. */
  readonly request: string;

  constructor(status: Status & { readonly code: number }, request = "") {
    super(status.message ?? `the API server answered ${status.code}${request === "" ? "" : ` to ${request}`}`);
    this.name = "KubeError";
    this.status = status.code;
    this.reason = status.reason ?? "";
    this.details = status.details ?? {};
    this.request = request;
  }
}

/** No answer came: refused, unresolved, reset, timed out, not trusted, or no credentials to be had. */
export class KubeConnectionError extends Error {
  /** `https://host:port` of the API server. */
  readonly server: string;

  constructor(server: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KubeConnectionError";
    this.server = server;
  }
}

export function isStatus(value: unknown): value is Status {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "Status";
}

/** Has the error this status code? */
export function hasStatus(error: unknown, ...codes: number[]): boolean {
  return error instanceof KubeError && codes.includes(error.status);
}
