/** Connections to the control plane: TCP, with TLS where the address has an identity. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type SecureContext } from "node:tls";
import type { Dial } from "../../wire/grpc/transport.ts";
import type { ControlAddress } from "../config/environment.ts";

/** Sockets would each keep one of 64 KiB. Every read is used up before the next. */
const READ_BYTES = 16_384;
let shared: Buffer | undefined;

/** @param context absent: plain text */
export function dialControl({ host, port, serverName }: ControlAddress, context: SecureContext | undefined): Dial {
  return (events) => {
    let closed = false;
    let failure: Error | undefined;
    shared ??= Buffer.allocUnsafeSlow(READ_BYTES);
    const options = {
      host,
      port,
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (length: number, bytes: Uint8Array): boolean => {
          if (!closed) events.onData(bytes as Buffer, 0, length);
          return true;
        },
      },
    };
    const connected = (): void => {
      if (!closed) events.onConnect();
    };
    const secure = context !== undefined && serverName !== undefined;
    const socket: Socket = secure
      ? connectTls({ ...options, secureContext: context, servername: serverName, ALPNProtocols: ["h2"] }, connected)
      : connectTcp(options, connected);
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("drain", () => {
      if (!closed) events.onDrain();
    });
    socket.on("close", () => {
      if (!closed) events.onClose(new Error(explain(failure), { cause: failure }));
      closed = true;
    });
    return {
      write: (bytes, start, end) => socket.write(Buffer.from(bytes.subarray(start, end))),
      close: () => {
        closed = true;
        // What was written last says why; a peer that does not read is not waited for.
        if (socket.connecting || socket.writableNeedDrain) socket.destroy();
        else socket.destroySoon();
      },
    };
  };
}

function explain(failure: Error | undefined): string {
  if (failure === undefined) return "the connection was closed";
  // A name with several addresses: each failed in its own way.
  if (failure instanceof AggregateError) return failure.errors.map((error: Error) => error.message).join("; ");
  return failure.message;
}
