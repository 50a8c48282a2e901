/** Refusals as Kubernetes clients know them: an object of kind Status with a reason that programs read. */

export type StatusReason =
  | "BadRequest"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "RequestEntityTooLarge"
  | "Timeout"
  | "TooManyRequests"
  | "InternalError"
  | "NotImplemented"
  | "ServiceUnavailable";

const CODE: Readonly<Record<StatusReason, number>> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  RequestEntityTooLarge: 413,
  TooManyRequests: 429,
  InternalError: 500,
  NotImplemented: 501,
  ServiceUnavailable: 503,
  Timeout: 504,
};

/** A request that cannot be served; thrown by handlers, answered as {@link statusBody}. */
export class StatusError extends Error {
  readonly reason: StatusReason;
  readonly code: number;

  constructor(reason: StatusReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StatusError";
    this.reason = reason;
    this.code = CODE[reason];
  }
}

/** A meta/v1 Status. */
export function statusBody(error: StatusError): Record<string, unknown> {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: error.message,
    reason: error.reason,
    code: error.code,
  };
}
