import { Metadata, type ServiceError, status } from "@grpc/grpc-js";

/** An answer other than OK; the message travels to the client. */
export class GrpcError extends Error {
  readonly code: status;

  constructor(code: status, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "GrpcError";
    this.code = code;
  }
}

/** What grpc-js sends: the error's own code and text, INTERNAL without details for anything unforeseen. */
export function toServiceError(error: unknown): ServiceError {
  const known = error instanceof GrpcError;
  const details = known ? error.message : "internal error";
  return Object.assign(new Error(details), {
    code: known ? error.code : status.INTERNAL,
    details,
    metadata: new Metadata(),
  });
}
