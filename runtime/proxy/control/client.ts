/**
 * How the proxy talks to its control plane: two kinds of gRPC call, behind one interface, so that the implementation can
 * be exchanged without its users noticing. Definitions of methods come from the generated code (`DestinationService.get`).
 */

/** What a generated service definition says about one method. */
export interface RpcMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** gRPC status codes that decide something here. */
export const rpcStatus = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  failedPrecondition: 9,
  unimplemented: 12,
  unavailable: 14,
} as const;

/** A call that ended with a status other than OK. */
export class RpcError extends Error {
  /** gRPC status code. */
  readonly code: number;

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "RpcError";
    this.code = code;
  }
}

export interface StreamEvents<Response> {
  onMessage(message: Response): void;
  /** Once, after the last message: with the error that ended the stream, or none where the server closed it. */
  onEnd(error: RpcError | undefined): void;
}

export interface RpcStream {
  /** Ends the stream; nothing is called afterwards. */
  cancel(): void;
}

/** One service address of the control plane. Connects when first used; connects anew by itself. */
export interface ControlClient {
  /** Where it leads, for logs: `name:port`. */
  readonly target: string;
  /** Rejects with {@link RpcError}. */
  unary<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Response>;
  stream<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    events: StreamEvents<Response>,
  ): RpcStream;
  close(): void;
}
