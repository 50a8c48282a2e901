/** io.linkerd.proxy.tap.Tap/Observe (reference 5.10). Loaded with the first connection to the tap port. */
import type { TLSSocket } from "node:tls";
import { TapEvent, TapService } from "../../api/gen/io/linkerd/proxy/tap.ts";
import { type ServeMethod, type ServerCall, serveCalls } from "../../wire/grpc/server.ts";
import { type GrpcStatus, grpcCode, OK } from "../../wire/grpc/status.ts";
import { ServerConnection } from "../../wire/http2/server-connection.ts";
import { INITIAL_SETTINGS } from "../../wire/http2/settings.ts";
import { compileTapMatch, TapMatchError } from "./matcher.ts";
import type { TapWatchers } from "./watchers.ts";

export interface ObserveServer {
  /** Serves a connection after its handshake. @param allowed whether its client is the one that may tap */
  serve(socket: TLSSocket, allowed: boolean): void;
  close(): void;
}

const MAX_REQUEST_BYTES = 64 * 1024;
const MAX_HEADER_LIST_BYTES = 16 * 1024;
/** The controller observes on one, and lets a few older ones run out. */
const MAX_STREAMS = 100;
const CONNECTION_WINDOW = 128 * 1024;

export function createObserveServer(watchers: TapWatchers): ObserveServer {
  const open = new Set<ServerConnection>();
  const { path } = TapService.observe;
  const allowing = new Map<string, ServeMethod>([[path, (call, request) => observe(call, request, watchers)]]);
  const refusing = new Map<string, ServeMethod>([
    [path, (call) => call.end({ code: grpcCode.unauthenticated, message: "this client may not tap" })],
  ]);
  return {
    serve: (socket, allowed) => {
      const connection = serveConnection(socket, allowed ? allowing : refusing);
      open.add(connection);
      socket.on("close", () => open.delete(connection));
    },
    close: () => {
      for (const connection of open) connection.close(new Error("the proxy ends"));
    },
  };
}

/** HTTP/2 on a socket: one write a turn of the event loop, held back while the socket is. */
function serveConnection(socket: TLSSocket, methods: ReadonlyMap<string, ServeMethod>): ServerConnection {
  let flushing: NodeJS.Immediate | undefined;
  const flush = (): void => {
    flushing = undefined;
    if (socket.writableNeedDrain || !socket.writable) return;
    connection.flush((bytes, start, end) => socket.write(Buffer.from(bytes.subarray(start, end))));
  };
  const connection = new ServerConnection({
    settings: { ...INITIAL_SETTINGS, maxConcurrentStreams: MAX_STREAMS, maxHeaderListBytes: MAX_HEADER_LIST_BYTES },
    connectionWindow: CONNECTION_WINDOW,
    maxHeaderBlockBytes: MAX_HEADER_LIST_BYTES,
    onRequest: serveCalls(methods, MAX_REQUEST_BYTES),
    events: {
      onOutput: () => {
        flushing ??= setImmediate(flush);
      },
      onGoAway: () => undefined,
      onPingAck: () => undefined,
      onIdle: () => undefined,
      onSettings: () => undefined,
      onClose: () => {
        clearImmediate(flushing);
        // A GOAWAY says why.
        flush();
        socket.destroySoon();
      },
    },
  });
  socket.on("data", (bytes: Buffer) => connection.receive(bytes, 0, bytes.length));
  socket.on("drain", flush);
  socket.on("close", () => connection.close());
  flush();
  return connection;
}

function observe(call: ServerCall, bytes: Buffer, watchers: TapWatchers): void {
  const { limit, match, extract } = TapService.observe.requestDeserialize(bytes);
  if (limit === 0) {
    call.end(invalid("the limit must be greater than 0"));
    return;
  }
  try {
    const watching = watchers.watch({
      matches: compileTapMatch(match),
      limit,
      headers: extract?.extract?.value.extract?.$case === "headers",
      send: (event) => call.write(Buffer.from(TapEvent.encode(event).finish())),
      done: () => call.end(OK),
    });
    call.onDrain = () => watching.resume();
    call.onCancel = () => watching.stop();
  } catch (error) {
    if (!(error instanceof TapMatchError)) throw error;
    call.end(invalid(error.message));
  }
}

function invalid(message: string): GrpcStatus {
  return { code: grpcCode.invalidArgument, message };
}
