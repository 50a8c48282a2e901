/** The server's side of a watch: bounded, so that a client that does not read costs nothing but its own stream. */
import { type ServerWritableStream, status } from "@grpc/grpc-js";
import { GrpcError, toServiceError } from "./errors.ts";

/** Updates that may wait for one client (reference 5.2). */
export const QUEUE_CAPACITY = 100;

export class UpdateStream<Request, Response> {
  readonly #call: ServerWritableStream<Request, Response>;
  readonly #onOverflow: () => void;
  readonly #cleanups: (() => void)[] = [];
  #ended = false;

  constructor(call: ServerWritableStream<Request, Response>, onOverflow: () => void = () => {}) {
    this.#call = call;
    this.#onOverflow = onOverflow;
    // The client went away, or its connection did. A broken write surfaces as an error of its own.
    call.on("cancelled", () => this.#finish());
    call.on("close", () => this.#finish());
    call.on("error", () => this.#finish());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Runs when the stream is over, for whatever reason; at once where it is already. */
  onEnd(cleanup: () => void): void {
    if (this.#ended) cleanup();
    else this.#cleanups.push(cleanup);
  }

  /** Ends the stream with UNAVAILABLE when the client has let {@link QUEUE_CAPACITY} updates pile up. */
  send(update: Response): void {
    if (this.#ended) return;
    if (this.#call.writableLength >= QUEUE_CAPACITY) {
      this.#onOverflow();
      this.fail(new GrpcError(status.UNAVAILABLE, `${QUEUE_CAPACITY} updates were not read: ask again`));
      return;
    }
    this.#call.write(update);
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#finish();
    this.#call.emit("error", toServiceError(error));
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }
}
